/** QEMU, a kernel and a shell for the guest, from Debian's packages. They are tools of this test and are not shipped. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Why the proof cannot run here; nothing is wrong with qkme. */
export class Unavailable extends Error {}

export interface Tools { readonly qemu: string, readonly kernel: string, readonly modules: string, readonly busybox: string }

let remainingMs = (): number => 60_000
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

const apt = (args: readonly string[], cwd?: string): string => {
  const { status, stdout, stderr } = spawnSync('apt-get', args, { cwd, encoding: 'utf8', timeout: Math.max(1, Math.floor(remainingMs())), env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: homedir(), DEBIAN_FRONTEND: 'noninteractive' } })
  if (status === null) throw new Unavailable(`apt-get ${args[0] ?? ''} does not end in time`)
  if (status !== 0) throw new Unavailable(`apt-get ${args[0] ?? ''} fails: ${(stderr ?? '').trim().split('\n').at(-1) ?? 'no answer'}`)
  return stdout
}

const need = (program: string, debian: string): void => {
  if (!has(program)) throw new Unavailable(`${program} is missing (apt-get install ${debian})`)
}

let updated = false
const update = (): void => {
  if (!updated && process.getuid?.() === 0) apt(['update', '-qq'])
  updated = true
}

const findQemu = (): string => {
  if (!has('qemu-system-x86_64')) {
    if (process.getuid?.() !== 0) throw new Unavailable('QEMU is missing: run apt-get install qemu-system-x86 as root')
    update()
    apt(['install', '-y', '-qq', '--no-install-recommends', 'qemu-system-x86'])
  }
  return 'qemu-system-x86_64'
}

/** Downloads a package and unpacks it into the cache, once; it is not installed. */
const unpacked = (name: string, cache: string): string => {
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  const work = join(cache, `${name}.new.${process.pid}`)
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  try {
    apt(['download', '-qq', name], work)
    const file = readdirSync(work).find((entry) => entry.endsWith('.deb'))
    if (file === undefined || spawnSync('dpkg', ['-x', join(work, file), join(work, 'root')]).status !== 0) throw new Unavailable(`the package ${name} cannot be unpacked`)
    if (!existsSync(folder)) renameSync(join(work, 'root'), folder)
  } finally { rmSync(work, { recursive: true, force: true }) }
  return folder
}

/** The package with the kernel itself, which `linux-image-cloud-amd64` depends on. */
const kernelPackage = (): string | undefined =>
  /Depends: (linux-image-\S+)/.exec(spawnSync('apt-cache', ['depends', 'linux-image-cloud-amd64'], { encoding: 'utf8' }).stdout ?? '')?.[1]

const cachedKernel = (cache: string): string | undefined => existsSync(cache) ? readdirSync(cache).filter((name) => /^linux-image-\d[^ ]*-cloud-amd64$/.test(name)).sort().at(-1) : undefined

/** @param remaining How long packages may take from now on. @throws Unavailable with one line that says what is missing. */
export const findTools = (remaining: () => number): Tools => {
  remainingMs = remaining
  if (process.arch !== 'x64') throw new Unavailable(`the guests are x86-64, this machine is ${process.arch}`)
  for (const [program, debian] of [['apt-get', 'a Debian system'], ['g++', 'g++'], ['mkfs.ext4', 'e2fsprogs'], ['e2fsck', 'e2fsprogs'], ['debugfs', 'e2fsprogs']] as const) need(program, debian)
  const cache = join(homedir(), '.cache', 'qkme', 'qemu'), qemu = findQemu()
  let name = cachedKernel(cache)
  if (name === undefined) {
    if (kernelPackage() === undefined) update()
    name = kernelPackage()
    if (name === undefined) throw new Unavailable('Debian\'s linux-image-cloud-amd64 is not to be had here')
  }
  const root = unpacked(name, cache), release = name.slice('linux-image-'.length)
  return {
    qemu, kernel: join(root, 'boot', `vmlinuz-${release}`), modules: join(root, 'lib', 'modules', release, 'kernel'),
    busybox: join(unpacked('busybox-static', cache), 'bin', 'busybox'),
  }
}
