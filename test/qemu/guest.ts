/** What runs inside the guests of the QEMU proof: `node guest.js <frames> <scenario>…`. */
import { existsSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { openPciBar, openUio, openVfio, type PortSettings, type PortSource } from '../../src/device/pci/port-source.js'
import { Edu, EDU } from './edu.js'
import { digestOf, GuestKme, until } from './guest-store.js'
import { bindDriver, commandOf, findDevice, loadModules, say, vfioInterrupts } from './guest-machine.js'

const BUS_MASTER = 4
const IVSHMEM = ['0x1af4', '0x1110'] as const
const EDU_FRAMES = 2
const EDU_SLOTS = 16
const frames = Number(process.argv[2])

const stored = async (kme: GuestKme, wanted: number): Promise<void> => { await until(() => kme.frames.size >= wanted) }

/** Frames of a process of the host, out of a BAR, without any driver. */
const bar = async (): Promise<void> => {
  const kme = await GuestKme.open('/state/bar'), source = openPciBar({ address: findDevice(...IVSHMEM), bar: 2, offset: 0 }, kme.deps())
  kme.start(source)
  await stored(kme, frames)
  source.close()
  say('bar', { frames: kme.frames.size, taken: digestOf(kme.frames), ...await kme.reread() })
  await kme.close()
}

/** Interrupts both ways: MSI-X from the host's process, its doorbell register back. */
const doorbell = async (): Promise<void> => {
  const address = findDevice(...IVSHMEM)
  bindDriver(address, 'vfio-pci')
  const kme = await GuestKme.open('/state/doorbell')
  const source = openVfio({ address, bar: 2, offset: 0, vector: 0, doorbell: { bar: 0, offset: 12, value: 0 } }, kme.deps())
  kme.start(source)
  await stored(kme, frames)
  const interrupts = vfioInterrupts(address)
  source.close()
  say('doorbell', { frames: kme.frames.size, interrupts, taken: digestOf(kme.frames), ...await kme.reread() })
  await kme.close()
}

/** Frames that the edu device puts into our memory, each byte by DMA, and rings for. */
const overDma = async (source: PortSource, kme: GuestKme): Promise<{ edu: Edu, alive: boolean, bytesEqual: boolean }> => {
  kme.start(source)
  const edu = new Edu(source, EDU_SLOTS), alive = edu.alive()
  await edu.attach()
  for (let n = 1; n <= EDU_FRAMES; n++) {
    await edu.publish(n, randomBytes(3968))
    await stored(kme, n)
  }
  const { acceptedFrames, refusedFrames } = source.counters()
  return { edu, alive, bytesEqual: acceptedFrames === EDU_FRAMES && refusedFrames === 0 }
}

const eduSettings = (address: string): PortSettings => ({ address, ringIn: 'memory', bar: 0, offset: 0, slots: EDU_SLOTS })

const uio = async (): Promise<void> => {
  loadModules('uio', 'uio_pci_generic')
  const address = findDevice(EDU.vendor, EDU.device)
  bindDriver(address, 'uio_pci_generic')
  const kme = await GuestKme.open('/state/uio')
  const source = openUio({ ...eduSettings(address), interruptStatus: EDU.interruptStatus, interruptAck: EDU.interruptAck }, kme.deps())
  const { alive, bytesEqual } = await overDma(source, kme)
  await until(() => source.counters()['interrupts']! >= EDU_FRAMES)
  const before = commandOf(address) & BUS_MASTER, interrupts = source.counters()['interrupts']
  source.close()
  say('uio', { alive, bytesEqual, interrupts, masterBefore: before !== 0, masterAfter: (commandOf(address) & BUS_MASTER) !== 0, ...await kme.reread() })
  await kme.close()
}

const vfio = async (): Promise<void> => {
  const address = findDevice(EDU.vendor, EDU.device)
  bindDriver(address, 'vfio-pci')
  const kme = await GuestKme.open('/state/vfio')
  const source = openVfio({ ...eduSettings(address), iova: 0x100000 }, kme.deps())
  const { edu, alive, bytesEqual } = await overDma(source, kme)
  const interrupts = vfioInterrupts(address), before = commandOf(address) & BUS_MASTER
  await edu.writeTo(0x900000n, 64) // nothing is mapped there
  const reason = (): string | undefined => kme.reports.flatMap((report) => report.type === 'device.fault' ? [report.reason] : [])[0]
  await until(() => reason() !== undefined)
  const masterAfter = (commandOf(address) & BUS_MASTER) !== 0, blocked = source.counters()['blockedDma']
  source.close()
  say('vfio', { alive, bytesEqual, interrupts, masterBefore: before !== 0, masterAfter, reason: reason(), blocked, told: kme.told, ...await kme.reread() })
  await kme.close()
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = { bar, doorbell, uio, vfio }

say('started', { node: process.version, iommu: existsSync('/sys/kernel/iommu_groups/0') })
const names = process.argv.slice(3)
if (names.includes('doorbell') || names.includes('vfio')) loadModules('irqbypass', 'vfio', 'vfio_virqfd', 'vfio_iommu_type1', 'vfio-pci-core', 'vfio-pci')
for (const name of names) {
  try {
    await scenarios[name]!()
  } catch (error) {
    say('failed', { scenario: name, why: error instanceof Error ? error.stack : String(error) })
  }
}
say('done')
