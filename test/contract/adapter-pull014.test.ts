import t from 'tap'
import { openPull014 } from '../../src/device/pull014.js'
import { uuidText } from '../../src/device/formats/uuid.js'
import type { DeviceTls } from '../../src/device/device-https.js'
import { Fake014 } from '../device/fake-014.js'
import { deviceCertificates } from '../device/tls-files.js'
import { bench, folder, until } from '../native/ring-support.js'
import { adapterSuite, Store, unitBytes, type TestDevice } from './adapter-suite.js'

const idOf = (n: number): string => Buffer.from(`f00d${`000${n}`.slice(-4)}`.padEnd(32, '5a'), 'hex').toString('hex')
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

class KmeDevice implements TestDevice {
  constructor (readonly fake: Fake014) {}
  name (n: number): { id: string, offset: number } { return { id: idOf(n), offset: 0 } }
  bytes (n: number): Uint8Array { return unitBytes(n, 32) }
  private put (n: number, key: string): void { this.fake.queue.push({ id: uuidText(Buffer.from(idOf(n), 'hex')), key }) }
  private opened = 0
  /** A request that is under way when a KME ends must not take what is given to the next one: each asks under a name of its own, and only the newest is served. */
  next (): string { return this.fake.only = `kme-${++this.opened}` }
  give (n: number): void { this.put(n, base64(this.bytes(n))) }
  giveOther (n: number): void { this.put(n, base64(unitBytes(n + 500, 32))) }
  giveDamaged (n: number): void { this.put(n, `${base64(this.bytes(n)).slice(0, 20)}!!`) }
  giveHalf (n: number): void { this.fake.cutNext = true; this.give(n) }
  giveRest (n: number): void { this.give(n) }
  async die (): Promise<void> { await this.fake.close() }
  async comeBack (): Promise<void> { await this.fake.listen() }
  async close (): Promise<void> { await this.fake.close() }
}

const settings = (url: string, tls: DeviceTls) => ({ url, tls, remoteSaeId: 'kme-b', keySizeBits: 0, keysPerRequest: 8, pollMs: 50, timeoutMs: 2_000 })

adapterSuite({
  name: 'ETSI 014 pull',
  redelivers: false,
  lacks: { compromised: 'the interface has no word for it', gap: 'keys have no order' },
  end: async () => {
    const { kme, device } = await deviceCertificates()
    const fake = await new Fake014(device).listen(), units = new KmeDevice(fake)
    return { open: (deps) => openPull014({ ...settings(fake.url, kme), remoteSaeId: units.next() }, deps), device: units }
  },
})

const start = async (t: Test, proposes: boolean, change: (fake: Fake014) => void = () => {}, pollMs = 50) => {
  const { kme, device } = await deviceCertificates()
  const fake = await new Fake014(device).listen(), at = folder(t), units = new KmeDevice(fake)
  change(fake)
  const store = new Store({ open: (deps) => openPull014({ ...settings(fake.url, kme), pollMs }, { ...deps, proposes }), device: units }, at, bench())
  t.teardown(async () => { store.close(); await fake.close() })
  return { fake, units, store }
}
type Test = typeof t

t.test('the end that does not propose takes nothing new, and fetches what the other end proposed, once', async (t) => {
  const { fake, units, store } = await start(t as unknown as Test, false)
  units.give(1)
  for (const n of [2, 3]) fake.known.set(uuidText(Buffer.from(idOf(n), 'hex')), base64(units.bytes(n)))
  const source = store.open()
  source.want!([{ id: idOf(2), offset: 0 }, { id: idOf(3), offset: 0 }])
  await until(() => store.frames.size === 2, 'both')
  source.want!([{ id: idOf(2), offset: 0 }])
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  t.same(fake.asked.filter(({ path }) => path.endsWith('enc_keys')), [], 'no new keys')
  t.equal(fake.asked.filter(({ path }) => path.endsWith('/api/v1/keys/kme-b/dec_keys')).length, 1, 'one request, and none for what is known')
})

t.test('an ID that the device does not know does not hold up the others', async (t) => {
  const { fake, units, store } = await start(t as unknown as Test, false)
  fake.known.set(uuidText(Buffer.from(idOf(2), 'hex')), base64(units.bytes(2)))
  const source = store.open()
  source.want!([{ id: idOf(9), offset: 0 }, { id: idOf(2), offset: 0 }])
  await until(() => store.frames.size === 1, 'the known one')
  fake.known.set(uuidText(Buffer.from(idOf(9), 'hex')), base64(units.bytes(9)))
  await until(() => store.frames.size === 2, 'the other one, when the device has it')
})

t.test('keys are taken as fast as the device makes them, whatever pollMs: to the last one of a KME that refuses what it has not', async (t) => {
  const { fake, units, store } = await start(t as unknown as Test, true, (fake) => { fake.strict = true }, 600_000)
  for (let n = 0; n < 93; n++) units.give(n)
  store.open()
  await until(() => store.frames.size === 93, 'all of them: 8 + 8 + ... + 5')
  units.give(93)
  await until(() => store.frames.size === 94, 'a single one, soon')
  const numbers = fake.asked.filter(({ path }) => path.endsWith('enc_keys')).map(({ body }) => (JSON.parse(body) as { number: number }).number)
  t.same(numbers.slice(0, 12), Array.from({ length: 12 }, () => 8), 'full requests while there is enough')
  t.ok(numbers.length < 60, `${numbers.length} requests`)
})

t.test('what the other end proposes is fetched at once, whatever pollMs and whatever is missing still', async (t) => {
  const { fake, units, store } = await start(t as unknown as Test, false, () => {}, 600_000)
  for (const n of [1, 2, 3]) fake.known.set(uuidText(Buffer.from(idOf(n), 'hex')), base64(units.bytes(n)))
  const source = store.open()
  for (const n of [1, 9, 2, 3]) {
    source.want!([{ id: idOf(n), offset: 0 }])
    await until(() => n === 9 ? fake.asked.some(({ body }) => body.includes(uuidText(Buffer.from(idOf(9), 'hex')))) : store.frames.size === n, `key ${n}`)
  }
  t.equal(store.source!.counters()['keysWanted'], 1, 'the missing one is still wanted')
})

t.test('sizes and numbers are those that the device allows', async (t) => {
  const { fake, units, store } = await start(t as unknown as Test, true, (fake) => { fake.maxKeyPerRequest = 3; fake.maxKeySizeBits = 1_000_000 })
  store.open()
  units.give(1)
  await until(() => store.frames.size === 1, 'a key')
  t.same(JSON.parse(fake.asked.find(({ path }) => path.endsWith('enc_keys'))!.body), { number: 3, size: 31_744 }, 'a frame per key')
})

t.test('a device with a certificate of another CA is not asked for anything', async (t) => {
  const { kme, stranger } = await deviceCertificates()
  const fake = await new Fake014(stranger).listen(), at = folder(t as unknown as Test)
  const store = new Store({ open: (deps) => openPull014(settings(fake.url, kme), deps), device: new KmeDevice(fake) }, at, bench())
  t.teardown(async () => { store.close(); await fake.close() })
  store.open()
  await until(() => store.source!.counters()['requestFailures']! > 1, 'it is refused')
  t.same([fake.asked.length, store.frames.size], [0, 0])
  await until(() => store.reports.some((r) => r.type === 'device.absent' && /certificate/i.test(r.reason)), 'and the reason is told')
})
