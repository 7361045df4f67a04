import { Type } from '@sinclair/typebox'
import { choice, flag, integer, list, optionalGroup, path, text } from './setting.js'

const bar = (description: string) => integer(description, { minimum: 0, maximum: 5 })
const offset = (description: string, byDefault?: number) => integer(description, { minimum: 0, maximum: 2 ** 40, unit: 'bytes', ...(byDefault === undefined ? {} : { default: byDefault }) })
const place = (description: string) => optionalGroup(description, { bar: bar('BAR of the register.'), offset: offset('Of the register in the BAR.') })

const program = (description: string) => list(description, Type.Object({
  bar: bar('BAR of the register.'),
  offset: offset('Of the register in the BAR.'),
  bytes: integer('Width of the register: 4 or 8.', { minimum: 4, maximum: 8, default: 4, unit: 'bytes' }),
  value: text('A number (decimal or 0x…), or ringAddress, ringAddressLow, ringAddressHigh, ringBytes, slots, stride, link.', { pattern: '^(0x[0-9a-fA-F]{1,16}|[0-9]{1,20}|ringAddress|ringAddressLow|ringAddressHigh|ringBytes|slots|stride|link)$', patternWords: 'a number or the name of one' }),
}, { additionalProperties: false, description: 'One register that is written.' }), { maxItems: 64 })

const address = text('The PCI function, as lspci -D prints it: 0000:3b:00.0.', { pattern: '^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]$', patternWords: 'domain:bus:device.function in lower-case hexadecimal' })
const macKeyFile = Type.Optional(path('File with the key of the frames\' MAC; without it frames carry only a checksum.', { secret: true }))
const ringInBar = {
  bar: bar('BAR in which the device keeps the ring.'),
  offset: offset('Of the ring in the BAR: a multiple of the page size.', 0),
}
const doorbell = optionalGroup('Register of 4 bytes that is written when a device that waits for room is to look again.', {
  bar: bar('BAR of the register.'), offset: offset('Of the register in the BAR.'), value: integer('What is written.', { minimum: 0, maximum: 0xffff_ffff }),
})
const ringIn = choice('bar: the device keeps the ring in its memory; memory: it writes into this machine\'s memory by DMA.', ['bar', 'memory'], { default: 'memory' })
const programs = {
  start: program('Registers that are written when the ring is there: where it is, and "go".'),
  stop: program('Registers that are written before the ring goes.'),
}

/** Devices on PCI Express (docs/device-pci.md). */
export const pciDevices = {
  pciBar: optionalGroup('The device keeps the ring in a BAR; read through sysfs, without a driver and without interrupts.', { address, ...ringInBar, doorbell, macKeyFile }),
  uio: optionalGroup('A PCI device that a UIO driver has: interrupts, and DMA without protection.', {
    address, ringIn, ...ringInBar, bar: integer('BAR in which the device keeps the ring (ringIn bar).', { minimum: 0, maximum: 5, default: 0 }),
    slots: integer('Slots of a ring in memory: a power of two. It lies in one huge page of 2 MiB.', { minimum: 8, maximum: 256, default: 256 }),
    interrupt: flag('Take interrupts. Without them the ring is polled.', true),
    interruptStatus: place('Register with the cause of an interrupt; together with interruptAck.'),
    interruptAck: place('Register that takes the interrupt back when the cause is written to it.'),
    doorbell, ...programs, macKeyFile,
  }),
  vfio: optionalGroup('A PCI device that vfio-pci has: MSI-X or MSI, and DMA that the IOMMU holds to the ring.', {
    address, ringIn, ...ringInBar, bar: integer('BAR in which the device keeps the ring (ringIn bar).', { minimum: 0, maximum: 5, default: 0 }),
    slots: integer('Slots of a ring in memory: a power of two.', { minimum: 8, maximum: 65_536, default: 4_096 }),
    iova: offset('Address at which the device sees a ring in memory: a multiple of the page size.', 2 ** 32),
    interrupt: flag('Take interrupts. Without them the ring is polled.', true),
    vector: integer('Vector of MSI-X or MSI that says that frames are there.', { minimum: 0, maximum: 2_047, default: 0 }),
    doorbell, ...programs, macKeyFile,
  }),
  xdma: optionalGroup('A character device that streams frames, in the manner of Xilinx XDMA.', {
    data: path('Node with blocking reads: /dev/xdma0_c2h_0.'),
    events: Type.Optional(path('Node of events, read before each burst: /dev/xdma0_events_0.')),
    reports: Type.Optional(path('Node that takes reports of what is durable: /dev/xdma0_h2c_0.')),
    slots: integer('Frames that may wait in this process: a power of two.', { minimum: 16, maximum: 65_536, default: 1_024 }),
    macKeyFile,
  }),
}
