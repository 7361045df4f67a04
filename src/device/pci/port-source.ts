import { KmeError } from '../../kernel/errors.js'
import type { Cancel } from '../../kernel/time.js'
import type { AdapterDeps, DeviceSource } from '../adapter.js'
import { RingSource, type RingListener, type RingView } from '../ring-source.js'
import type { DevicePortHealth, DevicePortOptions, NativeDevicePort, RegisterPlace } from './native-pci.js'
import { registerValues, runProgram, type RegisterValues, type RegisterWrite } from './registers.js'

/** Settings of a device on PCI Express (docs/device-pci.md). What the access cannot do is left out or refused. */
export interface PortSettings {
  readonly address: string
  /** bar: the device keeps the ring in its own memory; memory: in this machine's, by DMA. */
  readonly ringIn?: string
  readonly bar: number
  readonly offset: number
  readonly slots?: number
  readonly iova?: number
  readonly interrupt?: boolean
  readonly vector?: number
  readonly interruptStatus?: RegisterPlace | undefined
  readonly interruptAck?: RegisterPlace | undefined
  readonly doorbell?: (RegisterPlace & { readonly value: number }) | undefined
  /** Registers that are written when the ring is there, and when it goes. */
  readonly start?: readonly RegisterWrite[]
  readonly stop?: readonly RegisterWrite[]
  readonly macKeyFile?: string | undefined
  readonly stalledMs?: number | undefined
  /** Where the kernel's files are; others in tests. */
  readonly devicesFolder?: string
  readonly nodesFolder?: string
}

const CHECK_MS = 500
const STATUS_WORDS = [[0x8000, 'parity error'], [0x2000, 'received master abort'], [0x1000, 'received target abort']] as const

const portOptions = (kind: DevicePortOptions['kind'], settings: PortSettings, linkId: number): DevicePortOptions => ({
  kind, address: settings.address,
  ...(settings.ringIn === 'memory'
    ? { slots: settings.slots ?? 256, linkId, ...(settings.iova === undefined ? {} : { iova: settings.iova }) }
    : { ringBar: settings.bar, ringOffset: settings.offset }),
  ...(settings.interrupt === false ? { interruptVector: null } : { interruptVector: settings.vector ?? 0 }),
  ...(settings.interruptStatus === undefined ? {} : { interruptStatus: settings.interruptStatus }),
  ...(settings.interruptAck === undefined ? {} : { interruptAck: settings.interruptAck }),
  ...(settings.doorbell === undefined ? {} : { doorbell: { bar: settings.doorbell.bar, offset: settings.doorbell.offset }, doorbellValue: settings.doorbell.value }),
  ...(settings.devicesFolder === undefined ? {} : { devicesFolder: settings.devicesFolder }),
  ...(settings.nodesFolder === undefined ? {} : { nodesFolder: settings.nodesFolder }),
})

/**
 * A ring in a PCI device, or in memory that a PCI device reaches by DMA. It is read as any ring; beside that the device's
 * own faults are watched: gone, wanted back by the kernel, bus errors, and DMA that the IOMMU blocked. Each ends what the
 * device can do to this machine at once and is a `device.fault`.
 */
export class PortSource implements DeviceSource {
  private readonly port: NativeDevicePort
  private readonly ring: RingSource
  private readonly values: RegisterValues
  private readonly where: string
  private listener: RingListener | undefined
  private stopChecking: Cancel = () => {}
  private interrupts = 0
  private blockedDma = 0
  private faulty = false
  private closed = false

  constructor (kind: DevicePortOptions['kind'], private readonly settings: PortSettings, private readonly deps: AdapterDeps) {
    const { addon, vault, clock, sealing, linkId, fingerprintKey } = deps
    this.where = `PCI device ${settings.address}`
    this.port = addon.openDevicePort(portOptions(kind, settings, linkId))
    try {
      const { interrupt, ringAddress, reportsBlockedDma, vendor, device } = this.port.info()
      this.ring = new RingSource({
        addon, vault, clock, sealing, polled: interrupt === 'none', absence: () => `${this.where}: the device has not said yet that it runs`,
        ...(settings.stalledMs === undefined ? {} : { stalledMs: settings.stalledMs }),
        ring: { kind: 'device', path: settings.address, port: this.port, linkId, fingerprintKey, ...(settings.macKeyFile === undefined ? {} : { macKeyPath: settings.macKeyFile }) },
      })
      this.values = registerValues(ringAddress, this.ring.header())
      deps.log.info('PCI device opened', { link: linkId, address: settings.address, access: kind, vendor, device, interrupt, ring: ringAddress === 0 ? 'in the device' : 'in memory', tellsBlockedDma: reportsBlockedDma })
    } catch (error) {
      this.port.close()
      throw error
    }
  }

  remember (recordHeader: Uint8Array): void { this.ring.remember(recordHeader) }

  start (listener: RingListener): void {
    this.listener = listener
    this.ring.start(listener)
    try {
      runProgram(this.port, this.settings.start ?? [], this.values, `${this.where}, start`)
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'RING_INVALID') throw error
      this.fault(error.message)
      return
    }
    this.check()
  }

  resume (): void { this.ring.resume() }
  view (): RingView { return this.ring.view() }
  counters (): Record<string, number> { return { ...this.ring.counters(), interrupts: this.interrupts, blockedDma: this.blockedDma } }
  header (): Record<string, number> { return this.ring.header() }
  recentHeaders (out: Uint8Array): number { return this.ring.recentHeaders(out) }

  /** One register, for the bring-up of a new device. Throws `RING_INVALID` if there is none. */
  readRegister ({ bar, offset }: RegisterPlace, bytes: 4 | 8): bigint { return this.port.read(bar, offset, bytes) }
  writeRegister ({ bar, offset }: RegisterPlace, bytes: 4 | 8, value: bigint): void { this.port.write(bar, offset, bytes, value) }
  /** Where the device finds the ring by DMA; 0 for a ring in the device. */
  get ringAddress (): number { return Number(this.values.ringAddress) }

  close (): void {
    if (this.closed) return
    this.closed = true
    this.stopChecking()
    if (!this.faulty) this.quiet()
    this.ring.close()
  }

  // The device is told to stop first; then it could not do anything any more if it wanted to.
  private quiet (): void {
    try {
      if (this.listener !== undefined) runProgram(this.port, this.settings.stop ?? [], this.values, `${this.where}, stop`)
    } catch (error) {
      this.deps.log.warn('PCI device could not be told to stop', { link: this.deps.linkId, error })
    }
    this.port.close()
  }

  private check (): void {
    if (this.closed || this.faulty) return
    const health = this.port.check()
    this.interrupts = health.interrupts
    const reason = this.reasonOf(health)
    if (reason !== undefined) { this.fault(reason); return }
    this.stopChecking = this.deps.clock.after(CHECK_MS, () => { this.check() })
  }

  private reasonOf (health: DevicePortHealth): string | undefined {
    const [first] = health.blocked
    if (first !== undefined) {
      this.blockedDma += health.blocked.length + health.blockedMore
      const at = `0x${first.address.toString(16)}`
      this.deps.log.security({
        category: 'device', severity: 'high', event: 'device.dma-blocked', subject: `link ${this.deps.linkId}`, outcome: 'refused',
        fields: { address: this.settings.address, access: first.access, at, count: health.blocked.length + health.blockedMore },
      })
      return `the IOMMU blocked its DMA ${first.access} at ${at}: the device was given a wrong address, or is not to be trusted`
    }
    if (health.gone) return 'it is gone: pulled, reset, or its memory does not answer'
    if (health.releaseAsked) return 'the kernel wants it back (unbind or hot unplug)'
    if (health.deviceError) return 'it met an uncorrectable PCI Express error'
    const words = STATUS_WORDS.filter(([bit]) => (health.status & bit) !== 0).map(([, word]) => word)
    return words.length === 0 ? undefined : `its PCI status register tells: ${words.join(', ')}`
  }

  private fault (reason: string): void {
    this.faulty = true
    this.quiet()
    this.listener?.report({ type: 'device.fault', reason: `${this.where}: ${reason}` })
  }
}

const refuse = (settings: PortSettings, what: string): never => { throw new KmeError('RING_INVALID', `PCI device ${settings.address}: ${what}`) }

/** A ring in a BAR, read through sysfs: no driver, no interrupt. */
export const openPciBar = (settings: PortSettings, deps: AdapterDeps): PortSource => new PortSource('bar', { ...settings, ringIn: 'bar', interrupt: false }, deps)

/** A device that a UIO driver has: interrupts, and DMA without protection into one huge page. */
export const openUio = (settings: PortSettings, deps: AdapterDeps): PortSource => {
  if (settings.ringIn === 'memory' && (settings.slots ?? 256) > 256) refuse(settings, 'without an IOMMU a ring has at most 256 slots (one huge page); use vfio for more')
  return new PortSource('uio', settings, deps)
}

/** A device that vfio-pci has: what it can reach is what it was given. */
export const openVfio = (settings: PortSettings, deps: AdapterDeps): PortSource => new PortSource('vfio', settings, deps)
