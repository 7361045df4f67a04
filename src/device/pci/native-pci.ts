/** What the addon offers for devices on PCI Express (native/pci/). Types only: src/device/native.ts is the loader. */

/** A register: its BAR and its offset in bytes. */
export interface RegisterPlace { readonly bar: number, readonly offset: number }

export interface DevicePortOptions {
  /** bar: memory through sysfs; uio: also interrupts through /dev/uioN; vfio: BARs, interrupts and DMA behind an IOMMU. */
  readonly kind: 'bar' | 'uio' | 'vfio'
  /** As `lspci -D` prints it: 0000:3b:00.0. */
  readonly address: string
  /** The BAR in which the device keeps the ring. Left out: the ring is memory of this machine, reached by DMA. */
  readonly ringBar?: number
  /** Of the ring in the BAR: a multiple of the page size. Default 0. */
  readonly ringOffset?: number
  /** For a ring in this machine's memory. With uio at most 256: one huge page. */
  readonly slots?: number
  readonly linkId?: number
  /** vfio: where the device sees the ring. Default 4 GiB. */
  readonly iova?: number
  /** vfio: vector of MSI-X or MSI, default 0. Null: no interrupt, the ring is polled. */
  readonly interruptVector?: number | null
  /** uio: where the cause of an interrupt is read, and where it is written to take the interrupt back. */
  readonly interruptStatus?: RegisterPlace
  readonly interruptAck?: RegisterPlace
  /** Written, 4 bytes, when a device that waits for room in the ring is to look again. */
  readonly doorbell?: RegisterPlace
  readonly doorbellValue?: number
  /** Where the kernel's files are; others in tests. */
  readonly devicesFolder?: string
  readonly nodesFolder?: string
}

export interface DevicePortInfo {
  readonly vendor: number
  readonly device: number
  readonly interrupt: 'none' | 'intx' | 'msi' | 'msix'
  /** Where the device finds a ring in this machine's memory; 0 for a ring in a BAR. */
  readonly ringAddress: number
  readonly ringBytes: number
  /** The kernel's log can be read, so DMA that the IOMMU blocks is told. */
  readonly reportsBlockedDma: boolean
}

/** A transaction of the device that the IOMMU stopped. */
export interface BlockedDma { readonly address: bigint, readonly access: 'read' | 'write' | 'access' }

/** What happened since the last look. */
export interface DevicePortHealth {
  /** Pulled, reset, or its memory does not answer. */
  readonly gone: boolean
  /** vfio: the kernel wants the device back. */
  readonly releaseAsked: boolean
  /** vfio: an uncorrectable PCI Express error. */
  readonly deviceError: boolean
  /** Error bits of the PCI status register: 0x1000 target abort, 0x2000 master abort, 0x8000 parity. */
  readonly status: number
  /** uio: ever. */
  readonly interrupts: number
  /** vfio: at most 16; `blockedMore` counts the rest. */
  readonly blocked: readonly BlockedDma[]
  readonly blockedMore: number
}

/** A device's memory, interrupt and registers (native/pci/port.h). Calls throw `RING_INVALID` for registers that are not there. */
export interface NativeDevicePort {
  info (): DevicePortInfo
  check (): DevicePortHealth
  read (bar: number, offset: number, bytes: 4 | 8): bigint
  write (bar: number, offset: number, bytes: 4 | 8, value: bigint): void
  /** Ends interrupts, bus mastering and DMA at once. A ring that is still read keeps its memory. */
  close (): void
}

export interface DeviceStreamOptions {
  /** Character device that gives frames: a blocking read, as of /dev/xdma0_c2h_0. */
  readonly dataPath: string
  /** Character device of the card's events: read before each burst, as /dev/xdma0_events_0. */
  readonly eventPath?: string
  /** Character device that takes reports of what is durable, as /dev/xdma0_h2c_0. */
  readonly reportPath?: string
  readonly linkId: number
  /** A private ring of this process (`RingSource.share`), which the stream owns from then on. */
  readonly shared: { readonly region: number, readonly frames: number, readonly space: number }
}

/** Places in the `state` of a stream (Float64Array of STREAM_NUMBERS). */
export const STREAM = { frames: 0, bytes: 1, states: 2, lostBytes: 3, badRecords: 4, reads: 5, events: 6, reports: 7, failed: 8, locked: 9 } as const
export const STREAM_NUMBERS = 10

/** Frames of a character device, read by a thread of its own into a ring (native/pci/stream.h). */
export interface NativeDeviceStream {
  /** Beats for a device that sends no state records; `state` receives STREAM_NUMBERS numbers. About twice a second. */
  tick (state: Float64Array): void
  /** Why the stream ended, or ''. */
  failure (): string
  close (): void
}
