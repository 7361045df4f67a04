/** The disk of a guest: Node of this machine with its libraries, the addon, LMDB, our compiled code, a shell, kernel modules. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Tools } from './packages.js'

const MODULES = ['virt/lib/irqbypass', 'drivers/uio/uio', 'drivers/uio/uio_pci_generic', 'drivers/vfio/vfio', 'drivers/vfio/vfio_virqfd', 'drivers/vfio/vfio_iommu_type1', 'drivers/vfio/pci/vfio-pci-core', 'drivers/vfio/pci/vfio-pci']

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/ TMPDIR=/state
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm
ip link set lo up
echo 8 > /proc/sys/vm/nr_hugepages
cd /app
/usr/bin/node --no-opt --max-lazy dist/test/qemu/guest.js $(cat /proc/cmdline | tr ' ' '\\n' | sed -n 's/^qkme=//p' | tr ',' ' ')
echo QKME-END $?
sync
poweroff -f
`

const librariesOf = (binary: string): readonly string[] =>
  [...execFileSync('ldd', [binary], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!)

const copyInto = (root: string, from: string, to: string): void => {
  mkdirSync(dirname(join(root, to)), { recursive: true })
  cpSync(realpathSync(from), join(root, to), { recursive: true, dereference: true })
}

/** A package and what it needs, as far as it is there (optional ones may not be). */
const withDependencies = (project: string, name: string, found: Set<string>): Set<string> => {
  const folder = join(project, 'node_modules', name)
  if (found.has(name) || !existsSync(folder)) return found
  found.add(name)
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { dependencies?: object, optionalDependencies?: object }
  for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) withDependencies(project, next, found)
  return found
}

/** Compiles a test tool; nothing but the C++ runtime in it, so that it runs in the guest too. */
export const compileTool = (project: string, sources: readonly string[], to: string): string => {
  const { status, stderr } = spawnSync('g++', ['-std=c++20', '-O2', '-static', `-I${join(project, 'native')}`, ...sources.map((source) => join(project, source)), '-o', to], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${basename(to)} does not compile: ${stderr}`)
  return to
}

/** Makes the image; its file system has no features that need kernel modules. */
export const makeImage = (project: string, tools: Tools, work: string): string => {
  const root = join(work, 'root'), image = join(work, 'disk.img')
  for (const folder of ['proc', 'sys', 'dev', 'state', 'bin', 'usr/bin', 'modules', 'tmp']) mkdirSync(join(root, folder), { recursive: true })
  copyInto(root, tools.busybox, 'bin/busybox')
  writeFileSync(join(root, 'init'), INIT)
  chmodSync(join(root, 'init'), 0o755)
  compileTool(project, ['test/qemu/stage.cc'], join(root, 'bin', 'stage'))
  for (const name of MODULES) cpSync(join(tools.modules, `${name}.ko`), join(root, 'modules', `${basename(name)}.ko`))
  copyInto(root, process.execPath, 'usr/bin/node')
  const addon = join(project, 'build', 'Release', 'qkme.node'), lmdb = join(project, 'node_modules', '@lmdb', 'lmdb-linux-x64')
  const binaries = [process.execPath, addon, ...readdirSync(lmdb).filter((file) => file.endsWith('.node') && !file.includes('musl')).map((file) => join(lmdb, file))]
  for (const library of new Set(binaries.flatMap(librariesOf))) copyInto(root, library, library)
  copyInto(root, addon, 'app/build/Release/qkme.node')
  copyInto(root, join(project, 'package.json'), 'app/package.json')
  for (const folder of ['src', 'machines', 'test/qemu', 'test/native/ring-support.js']) {
    cpSync(join(project, 'dist', folder), join(root, 'app', 'dist', folder), { recursive: true, filter: (path) => !path.endsWith('.map') })
  }
  for (const name of withDependencies(project, 'lmdb', withDependencies(project, 'xstate', new Set()))) copyInto(root, join(project, 'node_modules', name), join('app/node_modules', name))
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^metadata_csum,^64bit', '-m', '0', '-d', root, image, '400M'], { stdio: 'pipe', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } })
  return image
}

/** What a power cut left in /state/<name> of an image: the journal of the file system is replayed as the next start would. */
export const stateOf = (image: string, name: string, to: string): string => {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  const { status } = spawnSync('e2fsck', ['-fy', image], { env })
  if (status === null || status > 2) throw new Error(`e2fsck of the guest's disk ends with ${status}`)
  mkdirSync(to, { recursive: true })
  execFileSync('debugfs', ['-R', `rdump /state/${name} ${to}`, image], { env, stdio: 'pipe' })
  return join(to, name)
}
