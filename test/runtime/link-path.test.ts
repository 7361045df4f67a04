import t, { type Test } from 'tap'
import type { LinkReport } from '../../machines/link.js'
import type { RingBatch } from '../../src/device/ring-batches.js'
import type { RingNotice } from '../../src/device/ring-notices.js'
import { quietLog } from '../../src/kernel/log.js'
import type { BlockRow, FrameRef } from '../../src/pool/rows.js'
import { tombKey } from '../../src/pool/rows.js'
import { LinkPath } from '../../src/runtime/link-path.js'
import type { KvWriter } from '../../src/store/kv.js'
import { SimClock } from '../../sim/clock.js'
import { SimDisk } from '../../sim/store.js'

const ID = 'ab'.repeat(16)

/** A link over a store in memory and a pool that writes down what it is told. */
const world = (options: { hungry?: boolean, disk?: SimDisk } = {}) => {
  const clock = new SimClock(), disk = options.disk ?? new SimDisk(), kv = disk.open({ clock, flushMs: 10 }), acts: string[] = [], reports: LinkReport[] = []
  const blocks = new Map<number, BlockRow>(), framesOf = (): FrameRef[] => [{ link: 1, id: ID, offset: 0, length: 32 }]
  const state = { hungry: options.hungry ?? true }
  const pool = {
    get hungry () { return state.hungry },
    ingest: (_records: Uint8Array, _meta: Uint32Array, count: number, also: (tx: KvWriter) => void) => { acts.push(`ingest ${count}`); kv.transact(also) },
    revoke: (_link: number, block: string) => { acts.push(`revoke ${block.slice(0, 4)}`); return 1 },
    rolledBack: (reason: string) => { acts.push(`rolledBack ${reason.slice(0, 24)}`) },
    core: { blocks, framesOf, channel: { close: () => { acts.push('close channel') } } },
  }
  const audit = { record: ({ other }: { other: string }) => { acts.push(`audit ${other}`) }, flush: () => {} }
  const keyspace = { isOpen: true, full: false, now: { store: { kv }, pools: new Map([['kme-b', pool]]), audit }, fail: (error: unknown) => { throw error } }
  const path = new LinkPath({ link: { id: 1, peer: 'kme-b' } as never, keyspace: keyspace as never, clock, log: quietLog, self: 'kme-a', stateFolder: '/nowhere' })
  path.listen((report) => { reports.push(report) })
  const batch = (count: number, epoch: number, sequence: number): { batch: RingBatch, acknowledged: () => boolean } => {
    let done = false
    return { batch: { count, mark: { epoch, sequence }, records: new Uint8Array(4_096), meta: Uint32Array.of(100, 32, 0, 0xffff_ffff), release: () => {}, acknowledge: () => { done = true } }, acknowledged: () => done }
  }
  return { disk, kv, acts, reports, clock, blocks, state, path, batch }
}
const witness = (epoch: number, sequence: number): RingNotice => ({ type: 'witness', mark: { epoch, sequence } })
const taken = (deviceBlock: string): RingNotice => ({ type: 'incident', incident: { kind: 'aborted', detail: 0, epoch: 1, offset: 0, sequence: 5n, deviceBlock } })
const soon = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

t.test('the device is told only when the mark is on disk, also of batches without records', async (t) => {
  const w = world()
  for (const [count, sequence] of [[1, 5], [0, 9]] as const) {
    const { batch, acknowledged } = w.batch(count, 1, sequence)
    w.path.outlet.batch(batch)
    await soon()
    t.notOk(acknowledged(), 'not before')
    w.clock.advance(20)
    await soon()
    t.ok(acknowledged())
  }
  t.same(w.acts, ['ingest 1'])
  w.disk.powerCut()
  const again = world({ disk: w.disk })
  again.path.outlet.notice(witness(1, 9))
  t.same(again.acts, [], 'after a restart the store knows what it told')
  again.path.outlet.notice(witness(1, 10))
  t.equal(again.acts.length, 2)
})

const behind = (t: Test, mark: [number, number], device: [number, number], expected: boolean): void => {
  const w = world()
  w.path.outlet.batch(w.batch(1, ...mark).batch)
  w.acts.length = 0
  w.path.outlet.notice(witness(...device))
  w.path.outlet.notice(witness(...device))
  t.same(w.acts, expected ? ['rolledBack the device of link 1 kno', 'close channel'] : [], `store at ${mark.join('/')}, device at ${device.join('/')}`)
}

t.test('a store behind what its device knows to be durable is an old copy: its pool is void, once', async (t) => {
  behind(t, [1, 100], [1, 101], true)
  behind(t, [1, 100], [2, 1], true)
  behind(t, [0xffff_ffff, 100], [0, 1], true) // The low half of an epoch goes round.
  behind(t, [1, 100], [1, 100], false)
  behind(t, [1, 100], [1, 7], false)
  behind(t, [2, 1], [1, 100], false)
  const fresh = world()
  fresh.path.outlet.notice(witness(7, 7))
  t.same(fresh.acts, [], 'a store that never took from the device has nothing of it')
})

t.test('a full pool is told to the link while frames wait', async (t) => {
  const w = world({ hungry: false })
  w.path.outlet.batch(w.batch(1, 1, 1).batch)
  t.same(w.reports, [{ type: 'link.full' }])
  w.clock.advance(200)
  t.equal(w.reports.length, 1, 'not again at once')
  w.clock.advance(400)
  t.equal(w.reports.length, 2, 'but while it lasts')
  w.state.hungry = true
  w.clock.advance(50)
  t.same(w.acts, ['ingest 1'])
})

t.test('a key block that the device takes back is an incident: audit, report, and whether bits of it left', async (t) => {
  const kept = world()
  kept.blocks.set(1, { number: 1, purpose: 'app', state: 'usable', spent: 0, index: 0 } as BlockRow)
  kept.path.outlet.notice(taken(ID))
  t.same(kept.acts, ['revoke abab', `audit compromised link/1 ${ID} not delivered`])
  t.same(kept.reports, [{ type: 'link.compromised', deviceBlock: ID, delivered: false }])
  const spent = world()
  spent.blocks.set(1, { number: 1, purpose: 'app', state: 'open', spent: 64, index: 3 } as BlockRow)
  spent.path.outlet.notice(taken(ID))
  t.match(spent.reports, [{ delivered: true }])
  const gone = world(), header = new Uint8Array(64)
  header.set(Buffer.from(ID, 'hex'), 8)
  gone.kv.transact((tx) => { tx.put(tombKey('kme-b', 1), header) })
  gone.path.outlet.notice(taken(ID))
  t.same(gone.reports, [{ type: 'link.compromised', deviceBlock: ID, delivered: true }], 'also of frames that are finished')
  gone.path.outlet.notice(taken('cd'.repeat(16)))
  t.match(gone.reports[1], { delivered: false })
})
