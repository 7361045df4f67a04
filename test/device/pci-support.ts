import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addon, bench, fingerprintKey, LINK } from '../native/ring-support.js'

export const ADDRESS = '0000:3b:00.0'
const SLOTS = 64
const BAR_BYTES = 1 << 19

export interface FakeDevice {
  /** For settings: where the kernel's files are. */
  readonly roots: { readonly devicesFolder: string, readonly nodesFolder: string }
  /** Folder of the device, its memory (BAR 2, with a ring) and its registers (BAR 0, 4 KiB). */
  readonly folder: string
  readonly memory: string
  readonly registers: string
  /** A FIFO in place of /dev/uio0. */
  readonly uioNode: string
}

/** A PCI device as sysfs shows one: BAR 0 registers, BAR 2 memory that holds a ring at offset 0. */
export const fakeDevice = (root: string): FakeDevice => {
  const folder = join(root, ADDRESS), memory = join(folder, 'resource2'), registers = join(folder, 'resource0'), uioNode = join(root, 'uio0')
  mkdirSync(join(folder, 'uio', 'uio0'), { recursive: true })
  const write = (leaf: string, text: string | Uint8Array): void => { writeFileSync(join(folder, leaf), text) }
  const line = (first: number, bytes: number, flags: string): string => `0x${first.toString(16).padStart(16, '0')} 0x${(first + bytes - 1).toString(16).padStart(16, '0')} ${flags}\n`
  write('resource', line(0xfe000000, 4_096, '0x0000000000040200') + '0x0000000000000000 0x0000000000000000 0x0000000000000000\n' + line(0x80000000, BAR_BYTES, '0x000000000014220c'))
  write('vendor', '0x1af4\n')
  write('device', '0x1110\n')
  write('enable', '0')
  write('config', new Uint8Array(64))
  write('resource0', new Uint8Array(4_096))
  // The device makes the ring itself: here an ordinary ring file, as long as the BAR.
  const made = join(root, 'made'), parts = bench()
  addon.openRingConsumer(parts.vault, { kind: 'file', path: made, linkId: LINK, slots: SLOTS, rememberedFrames: 64, fingerprintKey: fingerprintKey() }).close()
  const bar = new Uint8Array(BAR_BYTES)
  bar.set(readFileSync(made))
  write('resource2', bar)
  symlinkSync('../drivers/uio_pci_generic', join(folder, 'driver'))
  spawnSync('mkfifo', [uioNode])
  return { roots: { devicesFolder: root, nodesFolder: root }, folder, memory, registers, uioNode }
}
