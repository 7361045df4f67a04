/**
 * The rules that every device adapter keeps, whatever its device is made of. A rig tells how to make one end of a link: the
 * adapter's source, and a device that the test drives. What a transport cannot show is named in `lacks`, with its reason.
 */
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DeviceReport } from '../../machines/device.js'
import type { AdapterDeps, DeviceSource } from '../../src/device/adapter.js'
import { RECORD_HEADER_BYTES, RECORD_STRIDE } from '../../src/device/native.js'
import type { RingBatch } from '../../src/device/ring-batches.js'
import type { RingNotice } from '../../src/device/ring-notices.js'
import { quietLog } from '../../src/kernel/log.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { addon, bench, fingerprintKey, frameHeader, LINK, payload, until, type Bench } from '../native/ring-support.js'

/** The device at one end. Unit n of key has the same name and the same bytes at both ends, at any time. */
export interface TestDevice {
  /** Gives unit `n`, complete; gives it again when asked again. */
  give (n: number): void | Promise<void>
  /** Name of unit n's first frame: 32 hexadecimal digits and the offset. */
  name (n: number): { readonly id: string, readonly offset: number }
  /** What unit n's first frame carries. */
  bytes (n: number): Uint8Array
  /** Other bytes under the name of unit n. */
  giveOther? (n: number): void | Promise<void>
  /** Unit n as a transport would spoil it. */
  giveDamaged? (n: number): void | Promise<void>
  /** Half of unit n, and nothing after it: what a device leaves that dies at that moment. */
  giveHalf? (n: number): void | Promise<void>
  /** The rest of it. */
  giveRest? (n: number): void | Promise<void>
  /** Says that unit n, given before, is compromised. */
  compromise? (n: number): void | Promise<void>
  /** Loses one unit and goes on with `n`, so that the loss can be seen. */
  giveAfterGap? (n: number): void | Promise<void>
  /** The device goes away as by its death; then it comes back without memory. */
  die? (): void | Promise<void>
  comeBack? (): void | Promise<void>
  close (): void | Promise<void>
}

export interface End { open (deps: AdapterDeps): DeviceSource, readonly device: TestDevice }
export type Fault = 'other' | 'damaged' | 'torn' | 'compromised' | 'gap' | 'death'
export interface AdapterRig {
  readonly name: string
  /** One end of a link; everything lives in `folder` and ends with the test. Same units at every end that is made. */
  end (t: Test, folder: string): End | Promise<End>
  /** Faults that this transport cannot show, each with the reason. */
  readonly lacks?: Readonly<Partial<Record<Fault, string>>>
  /** A device that keeps what is not durable gives it again by itself; of others the test asks it. */
  readonly redelivers: boolean
}

/** Stands for the link's path and the store: what it took is stored, and remembered at the next opening. */
export class Store {
  readonly frames = new Map<string, string>()
  readonly headers: Uint8Array[] = []
  readonly reports: DeviceReport[] = []
  readonly notices: RingNotice[] = []
  readonly held: RingBatch[] = []
  twice = 0
  hold = false
  /** A store that fails: batches are taken and lost, as by a crash before they are durable. */
  losing = false
  source: DeviceSource | undefined

  constructor (private readonly end: End, readonly folder: string, private readonly parts: Bench) {}

  open (): DeviceSource {
    const source = this.source = this.end.open({
      addon, vault: this.parts.vault, clock: systemClock, log: quietLog, linkId: LINK, fingerprintKey: fingerprintKey(),
      sealing: () => ({ sealer: this.parts.sealer, keySlot: 1 }), stateFolder: this.folder, proposes: true,
    })
    for (const header of this.headers) source.remember(header)
    source.start({ batch: (b) => { this.take(b) }, report: (r) => { this.reports.push(r) }, notice: (n) => { this.notices.push(n) } })
    return source
  }

  close (): void { this.source?.close(); this.source = undefined }

  kinds (): string[] { return this.notices.map((n) => n.type === 'incident' ? n.incident.kind : n.type) }
  told (): string[] { return this.reports.map(({ type }) => type.slice('device.'.length)) }

  private take (batch: RingBatch): void {
    if (this.losing) return
    for (let i = 0; i < batch.count; i++) {
      const header = Buffer.from(batch.records.subarray(i * RECORD_STRIDE, i * RECORD_STRIDE + RECORD_HEADER_BYTES))
      const name = `${header.toString('hex', 8, 24)}/${header.readUInt32LE(24)}`
      if (this.frames.has(name)) this.twice++
      this.frames.set(name, header.toString('hex', 48, 56))
      this.headers.push(header)
    }
    if (this.hold) this.held.push(batch)
    else setImmediate(() => { batch.acknowledge() })
  }
}

/** The fingerprint that a record of these bytes carries: asked of a plain ring, so that it is not the adapter that tells. */
const fingerprintOf = async (parts: Bench, folder: string, bytes: Uint8Array): Promise<string> => {
  const path = join(folder, `reference-${process.hrtime.bigint()}`)
  const consumer = addon.openRingConsumer(parts.vault, { path, linkId: LINK, slots: 16, rememberedFrames: 64, fingerprintKey: fingerprintKey() })
  const producer = addon.openRingProducer({ path, linkId: LINK })
  const out = new Uint8Array(256 * RECORD_STRIDE), meta = new Uint32Array(1_024), status = new Uint32Array(16)
  producer.publish(frameHeader(1, 0), bytes)
  const count = consumer.drain(parts.sealer, 1, out, meta, status)
  producer.close()
  consumer.close()
  if (count !== 1) throw new Error('the reference ring refused the bytes')
  return Buffer.from(out.buffer, 48, 8).toString('hex')
}

export const adapterSuite = (rig: AdapterRig): void => {
  const world = async (t: Test): Promise<{ store: Store, device: TestDevice, folder: string, parts: Bench }> => {
    const folder = mkdtempSync(join(tmpdir(), 'qa-')), parts = bench()
    t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })) // Not at once: an adapter that was closed ends its last step.
    const end = await rig.end(t, folder), store = new Store(end, folder, parts)
    t.teardown(async () => { store.close(); await end.device.close() })
    return { store, device: end.device, folder, parts }
  }
  const key = (device: TestDevice, n: number): string => { const { id, offset } = device.name(n); return `${id}/${offset}` }
  const has = (store: Store, device: TestDevice, n: number): Promise<void> => until(() => store.frames.has(key(device, n)), `unit ${n} (${key(device, n)}), there are ${[...store.frames.keys()].slice(0, 4).join(' ')} ${store.kinds().join(' ')} ${store.told().join(' ')}`)
  const test = (title: string, needs: Fault | '', body: (t: Test) => Promise<void>): void => {
    const reason = needs === '' ? undefined : rig.lacks?.[needs]
    void t.test(`${rig.name}: ${title}`, reason === undefined ? {} : { skip: reason }, body)
  }

  test('a unit comes out with its name and its bytes, the same at both ends', '', async (t) => {
    const a = await world(t), b = await world(t)
    a.store.open()
    b.store.open()
    for (const n of [1, 2, 3]) { await a.device.give(n); await b.device.give(n) }
    for (const n of [1, 2, 3]) {
      await has(a.store, a.device, n)
      await has(b.store, b.device, n)
      const name = key(a.device, n), expected = await fingerprintOf(a.parts, a.folder, a.device.bytes(n))
      t.equal(a.store.frames.get(name), expected, 'bytes')
      t.equal(b.store.frames.get(name), expected, 'bytes at the other end')
    }
    t.same([a.store.twice, a.store.kinds().filter((k) => k !== 'watermark')], [0, []])
  })

  test('one unit alone is delivered, without waiting for another', '', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    t.ok(store.told().includes('attached'))
    t.ok(store.told().includes('frames'))
  })

  test('a unit that is given again is taken once', '', async (t) => {
    const { store, device } = await world(t)
    store.open()
    for (const n of [1, 2, 1, 1, 3]) { await device.give(n); await has(store, device, n) }
    t.same([store.twice, store.source!.view().quarantine], [0, ''])
  })

  test('after a restart of the KME names hold: nothing is taken twice, what is new comes', '', async (t) => {
    const { store, device } = await world(t)
    store.open()
    for (const n of [1, 2]) { await device.give(n); await has(store, device, n) }
    store.close()
    store.open()
    for (const n of [1, 2, 3]) await device.give(n)
    await has(store, device, 3)
    t.same([store.twice, store.source!.view().quarantine], [0, ''])
  })

  test('a crash before a unit is durable loses it nowhere: it can be given again', '', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    store.losing = true
    await device.give(2)
    await new Promise((resolve) => { setTimeout(resolve, 400) })
    store.close()
    store.losing = false
    store.open()
    if (!rig.redelivers) await device.give(2)
    await has(store, device, 2)
    t.same([store.twice, store.source!.view().quarantine], [0, ''])
  })

  test('a store that is behind takes no more than its bound, and later everything', '', async (t) => {
    const { store, device } = await world(t)
    store.hold = true
    store.open()
    for (let n = 1; n <= 40; n++) await device.give(n)
    await until(() => store.held.length > 0, 'a batch')
    await new Promise((resolve) => { setTimeout(resolve, 300) })
    t.ok(store.held.length <= 4, 'at most four batches under way')
    store.hold = false
    for (const batch of store.held.splice(0)) batch.acknowledge()
    for (let n = 1; n <= 40; n++) await has(store, device, n)
    t.equal(store.twice, 0)
  })

  test('other bytes under a known name quarantine; after the release what waited is discarded and new units come', 'other', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    await device.giveOther!(1)
    await until(() => store.kinds().includes('quarantined'), 'quarantine')
    t.equal(store.source!.view().quarantine, 'other-bytes')
    if (!rig.redelivers) { // Else it would wait at the device, and come after the release.
      await until(() => store.source!.view().waitingFrames === 0, 'the ring is empty')
      await device.giveOther!(1)
      await until(() => store.source!.view().waitingFrames > 0, 'it waits there')
    }
    store.source!.resume()
    await device.give(5)
    await has(store, device, 5)
    t.equal(store.source!.view().quarantine, '', 'what waited did not quarantine again')
    t.equal(store.kinds().filter((k) => k === 'quarantined').length, 1)
  })

  test('a damaged unit is not taken, and told; the next one is', 'damaged', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    await device.giveDamaged!(2)
    await until(() => store.kinds().includes('bad-frame'), 'it is told')
    await device.give(3)
    await has(store, device, 3)
    t.notOk(store.frames.has(key(device, 2)))
  })

  test('three damaged units in a row quarantine', 'damaged', async (t) => {
    const { store, device } = await world(t)
    store.open()
    for (const n of [1, 2, 3]) await device.giveDamaged!(n)
    await until(() => store.kinds().includes('quarantined'), 'quarantine')
    t.equal(store.source!.view().quarantine, 'three-bad')
    t.equal(store.frames.size, 0)
  })

  test('half a unit is not taken before its rest has come', 'torn', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    await device.giveHalf!(2)
    await new Promise((resolve) => { setTimeout(resolve, 400) })
    t.notOk(store.frames.has(key(device, 2)))
    await device.giveRest!(2)
    await has(store, device, 2)
    t.equal(store.source!.view().quarantine, '')
  })

  test('a unit that the device takes back is an incident with its name', 'compromised', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    await device.compromise!(1)
    await until(() => store.kinds().includes('aborted'), 'the incident')
    const told = store.notices.find((n) => n.type === 'incident' && n.incident.kind === 'aborted')
    t.match(told, { incident: { deviceBlock: device.name(1).id } })
    await device.give(1)
    await device.give(2)
    await has(store, device, 2)
    t.equal(store.twice, 0)
  })

  test('a gap is told, and does not stop the link', 'gap', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    await device.giveAfterGap!(3)
    await has(store, device, 3)
    await until(() => store.kinds().some((k) => k === 'gap' || k === 'device-dropped'), 'the gap')
  })

  test('a device that dies is absent or stalled; when it comes back without memory, nothing is taken twice', 'death', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    const before = store.reports.length
    await device.die!()
    await until(() => store.told().slice(before).some((type) => type === 'absent' || type === 'stalled'), 'its end is told')
    await device.comeBack!()
    await device.give(1)
    await device.give(2)
    await has(store, device, 2)
    t.same([store.twice, store.source!.view().quarantine], [0, ''])
  })

  test('header and counters tell of frames, and never of their bytes', '', async (t) => {
    const { store, device } = await world(t)
    store.open()
    await device.give(1)
    await has(store, device, 1)
    t.ok(store.source!.counters()['acceptedFrames']! >= 1)
    const out = new Uint8Array(16 * 64), count = store.source!.recentHeaders(out)
    t.ok(count >= 1)
    const last = Buffer.from(out.buffer, (count - 1) * 64, 64)
    t.same([last.readUInt32LE(0), last.readUInt32LE(8), last.readUInt32LE(60)], [0x46444B51, LINK, 0], 'a header of this link without its checksum')
  })

  test('closing frees everything; twice is harmless; it opens again', '', async (t) => {
    const { store, device } = await world(t)
    const source = store.open()
    source.close()
    source.close()
    store.open()
    await device.give(1)
    await has(store, device, 1)
  })
}

/** Bytes of unit n in tests whose units are one frame. */
export const unitBytes = (n: number, length: number): Uint8Array => payload(n + 1_000, length)
