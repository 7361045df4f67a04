/** A PCI device as a source: what its registers are told, and what is wrong with it. The contract is in pci-contract.test.ts. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DeviceReport } from '../../machines/device.js'
import type { AdapterDeps } from '../../src/device/adapter.js'
import type { RingBatch } from '../../src/device/ring-batches.js'
import { openPciBar, openUio, openVfio, type PortSettings, type PortSource } from '../../src/device/pci/port-source.js'
import { registerValues, runProgram, type RegisterWrite } from '../../src/device/pci/registers.js'
import { quietLog } from '../../src/kernel/log.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { addon, bench, fingerprintKey, folder, frameHeader, LINK, payload, until } from '../native/ring-support.js'
import { ADDRESS, fakeDevice, type FakeDevice } from './pci-support.js'

const depsOf = (dir: string): AdapterDeps => {
  const parts = bench()
  return {
    addon, vault: parts.vault, clock: systemClock, log: quietLog, linkId: LINK, fingerprintKey: fingerprintKey(), stateFolder: dir, proposes: true,
    sealing: () => ({ sealer: parts.sealer, keySlot: 1 }),
  }
}

interface Opened { readonly device: FakeDevice, readonly source: PortSource, readonly reports: DeviceReport[], readonly batches: RingBatch[] }
const opened = (t: Test, open: typeof openUio, settings: Partial<PortSettings> = {}): Opened => {
  const dir = folder(t), device = fakeDevice(dir), reports: DeviceReport[] = [], batches: RingBatch[] = []
  const source = open({ address: ADDRESS, ringIn: 'bar', bar: 2, offset: 0, ...device.roots, ...settings }, depsOf(dir))
  t.teardown(() => { source.close() })
  source.start({ batch: (batch) => { batches.push(batch) }, report: (report) => { reports.push(report) }, notice: () => {} })
  return { device, source, reports, batches }
}
const faultOf = async (reports: readonly DeviceReport[]): Promise<string> => {
  const found = (): string | undefined => reports.flatMap((report) => report.type === 'device.fault' ? [report.reason] : [])[0]
  await until(() => found() !== undefined, 'a fault')
  return found()!
}
const command = (device: FakeDevice): number => readFileSync(join(device.folder, 'config')).readUInt16LE(4)
const writes = (...program: readonly [number, number, string][]): RegisterWrite[] => program.map(([offset, bytes, value]) => ({ bar: 0, offset, bytes, value }))

t.test('registers are written in their order at the start and at the end, with numbers and names', async (t) => {
  const { device, source } = opened(t, openUio, {
    start: writes([0, 4, '0x11'], [8, 8, 'ringBytes'], [16, 4, 'slots'], [20, 4, 'link'], [0, 4, '0x22']), stop: writes([24, 4, '7'], [0, 4, '0']),
  })
  const at = (offset: number, bytes: 4 | 8 = 4): bigint => source.readRegister({ bar: 0, offset }, bytes)
  t.same([at(0), at(8, 8), at(16), at(20), at(24)], [0x22n, BigInt(4_096 + 64 * 4_096), 64n, BigInt(LINK), 0n])
  source.writeRegister({ bar: 0, offset: 28 }, 4, 5n)
  source.close()
  const registers = readFileSync(device.registers)
  t.same([registers.readUInt32LE(0), registers.readUInt32LE(24), registers.readUInt32LE(28)], [0, 7, 5])
})

t.test('a program is checked whole before its first write', async (t) => {
  const { device, source, reports } = opened(t, openUio, { start: writes([0, 4, '1'], [4, 4, '0x1ffffffff']) })
  t.match(await faultOf(reports), /0x1ffffffff .* does not fit 4 bytes; write its halves/)
  t.equal(readFileSync(device.registers).readUInt32LE(0), 0, 'nothing was written')
  t.equal(command(device) & 4, 0, 'the device reaches no memory')
  source.close()
  const values = registerValues(0x1_2345_6000, { slots: 256, stride: 4_096, link: 3 }), seen: [number, bigint][] = []
  const port = { write: (_bar: number, offset: number, _bytes: number, value: bigint) => { seen.push([offset, value]) } }
  runProgram(port as never, writes([0, 8, 'ringAddress'], [8, 4, 'ringAddressLow'], [12, 4, 'ringAddressHigh'], [16, 4, 'stride']), values, 'x')
  t.same(seen, [[0, 0x1_2345_6000n], [8, 0x2345_6000n], [12, 1n], [16, 4_096n]])
  t.throws(() => { runProgram(port as never, writes([0, 4, 'ringAdress']), values, 'here') }, { code: 'RING_INVALID', message: /here: "ringAdress" is neither a number nor one of/ })
  t.throws(() => { runProgram(port as never, [{ bar: 0, offset: 0, bytes: 2, value: '1' }], values, 'here') }, { code: 'RING_INVALID', message: /4 or 8 bytes, not 2/ })
})

t.test('a register that the device does not have is a fault with its place', async (t) => {
  t.match(await faultOf(opened(t, openUio, { start: writes([4_096, 4, '1']) }).reports), /no register of 4 bytes at 4096/)
})

t.test('errors of the status register, a dead device, cut memory: each is a fault, and the device is made quiet', async (t) => {
  const status = (value: number) => (device: FakeDevice): void => {
    const config = readFileSync(join(device.folder, 'config'))
    config.writeUInt16LE(value, 6)
    writeFileSync(join(device.folder, 'config'), config)
  }
  const cases: [string, (device: FakeDevice) => void, RegExp][] = [
    ['master abort', status(0x2010), /received master abort$/], ['two at once', status(0x9010), /parity error, received target abort$/],
    ['dead', status(0xffff), /it is gone/], ['cut', (device) => { truncateSync(device.memory, 0) }, /it is gone|region-lost/],
  ]
  for (const [what, spoil, expected] of cases) {
    const { device, source, reports } = opened(t, openUio)
    spoil(device)
    t.match(await faultOf(reports), expected, what)
    t.match(reports.filter(({ type }) => type === 'device.fault').length, 1, 'told once')
    source.close()
  }
})

t.test('a sleeping device is rung when there is room again', async (t) => {
  const dir = folder(t), device = fakeDevice(dir), producer = addon.openRingProducer({ path: device.memory, linkId: LINK })
  t.teardown(() => { producer.close() })
  let n = 0
  while (producer.publish(frameHeader(++n, 0), payload(n))) { /* until it is full */ }
  producer.sleep()
  const source = openPciBar({ address: ADDRESS, bar: 2, offset: 0, doorbell: { bar: 0, offset: 12, value: 0x30001 }, ...device.roots }, depsOf(dir))
  t.teardown(() => { source.close() })
  source.start({ batch: (batch) => { batch.acknowledge() }, report: () => {}, notice: () => {} })
  await until(() => readFileSync(device.registers).readUInt32LE(12) === 0x30001, 'the doorbell')
  t.ok(source.counters()['acceptedFrames']! > 0)
})

t.test('what cannot be is refused with the reason', async (t) => {
  const dir = folder(t), { roots } = fakeDevice(dir), deps = depsOf(dir), settings: PortSettings = { address: ADDRESS, ringIn: 'memory', bar: 0, offset: 0, ...roots }
  const refused = (what: RegExp, open: () => unknown): void => { t.throws(open, { code: 'RING_INVALID', message: what }) }
  refused(/at most 256 slots/, () => openUio({ ...settings, slots: 512 }, deps))
  refused(/IOMMU group/, () => openVfio(settings, deps))
  refused(/has no BAR 1/, () => openPciBar({ ...settings, bar: 1 }, deps))
  refused(/not QKDRING1/, () => openPciBar({ ...settings, bar: 2, offset: 8_192 }, deps))
  refused(/is not there/, () => openPciBar({ ...settings, address: '0000:00:1f.7' }, deps))
  refused(/another link|is the ring of link/, () => openPciBar({ ...settings, bar: 2 }, { ...deps, linkId: LINK + 1 }))
})
