import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { SimDisk, type SimKv } from '../../sim/store.js'
import { AuditTrail, type AuditEntry, type AuditOptions } from '../../src/store/audit.js'
import { readAudit, verifyAudit } from '../../src/store/audit-read.js'
import { prefixRange } from '../../src/store/kv.js'
import { vault } from './setup.js'

const DAY = 86_400_000
const entry = (n: number, more: Partial<AuditEntry> = {}): AuditEntry =>
  ({ kind: 'enc', caller: 'sae-a', other: 'sae-b', association: 65_535, block: 2 ** 46 - 1 - n, place: n, sizeBytes: 32, number: 128, ...more })

const setup = (disk = new SimDisk(), more: Partial<AuditOptions> = {}) => {
  const clock = new SimClock(), kv: SimKv = disk.open(), errors: unknown[] = []
  const options: AuditOptions = { vault: vault(), kv, clock, key, keyIsNew: false, days: 0, maxBytes: 1e9, onFailure: (error) => { errors.push(error) }, ...more }
  return { disk, clock, kv, errors, options, trail: new AuditTrail(options) }
}
const key = vault().newKey()

t.test('records come back with their names, in order, and verify', async (t) => {
  const { kv, clock, trail } = setup()
  t.equal(trail.record(entry(1)), 1)
  t.equal(trail.record(entry(2, { kind: 'refused', caller: 'sæ', other: '' })), 2)
  t.same([...readAudit(kv)], [], 'gathered')
  await clock.advanceAsync(100)
  kv.transact((tx) => { for (let n = 3; n < 40; n++) trail.recordIn(tx, entry(n, { kind: 'dec' })) })
  const all = [...readAudit(kv)]
  t.equal(all.length, 39)
  t.match(all[0], { sequence: 1, wallMs: clock.wallMs() - 100, kind: 'enc', caller: 'sae-a', other: 'sae-b', association: 65_535, block: 2 ** 46 - 2, place: 1, sizeBytes: 32, number: 128 })
  t.match(all[1], { kind: 'refused', caller: 'sæ', other: '' })
  t.equal([...kv.keys(prefixRange(['audit']))].length, 2, 'one row and one MAC per group')
  t.same([...readAudit(kv, 20)].map((r) => r.sequence), Array.from({ length: 20 }, (_, i) => 20 + i))
  const verdict = verifyAudit(kv, vault(), key)
  t.match(verdict, { verified: 39, unverifiable: 0, brokenAt: undefined, lastSequence: 39 })
  t.same(trail.head(), { records: 39, head: verdict.head })
})

t.test('a record is durable exactly with the transaction it tells of', async (t) => {
  const { disk, kv, trail } = setup()
  trail.record(entry(1))
  kv.transact((tx) => { tx.put(['claim', 1], Uint8Array.of(1)); trail.recordIn(tx, entry(2, { kind: 'dec' })) })
  await kv.flushed()
  kv.transact((tx) => { tx.put(['claim', 2], Uint8Array.of(1)); trail.recordIn(tx, entry(3, { kind: 'dec' })) })
  disk.powerCut()
  const after = disk.open()
  t.ok(after.has(['claim', 1]))
  t.notOk(after.has(['claim', 2]))
  t.same([...readAudit(after)].map((r) => r.sequence), [1, 2])
  const again = new AuditTrail({ ...setup().options, kv: after })
  t.equal(again.record(entry(9)), 3, 'the chain goes on where the disk ends')
  again.close()
  t.match(verifyAudit(after, vault(), key), { verified: 3, brokenAt: undefined })
  t.equal([...readAudit(after)].at(-1)?.caller, 'sae-a', 'names are known again')
})

t.test('a transaction that fails takes no record along, and the chain still holds', async (t) => {
  const { disk, kv, trail } = setup()
  disk.failNth(1, 'transact', 'STORE_FULL')
  t.throws(() => kv.transact((tx) => { trail.recordIn(tx, entry(1)) }), { code: 'STORE_FULL' })
  t.throws(() => kv.transact((tx) => { trail.recordIn(tx, entry(2)); throw new Error('no') }), { message: 'no' })
  t.same([...readAudit(kv)], [])
  kv.transact((tx) => { trail.recordIn(tx, entry(3)) })
  t.same([...readAudit(kv)].map((r) => r.sequence), [1, 2, 3])
  t.match(verifyAudit(kv, vault(), key), { verified: 3, brokenAt: undefined })
})

t.test('every change, gap, move and cut in the middle is found where it begins', async (t) => {
  const { kv, trail } = setup()
  for (let batch = 0; batch < 5; batch++) kv.transact((tx) => { for (let n = 0; n < 4; n++) trail.recordIn(tx, entry(4 * batch + n)) })
  const rows = [...kv.range(prefixRange(['audit']))]
  const broken = (change: () => void): number | undefined => {
    change()
    const verdict = verifyAudit(kv, vault(), key)
    kv.transact((tx) => { for (const { key: name, value } of rows) tx.put(name, value) })
    return verdict.brokenAt?.sequence
  }
  const row = (i: number) => rows[i] as typeof rows[number]
  for (const at of [0, 31, 32, 40, 32 + 64 * 3 + 63]) {
    t.equal(broken(() => { const bad = row(2).value.slice(); bad[at] = bad[at] as number ^ 4; kv.transact((tx) => { tx.put(row(2).key, bad) }) }), 9, `byte ${at}`)
  }
  t.equal(broken(() => { kv.transact((tx) => { tx.remove(row(1).key) }) }), 5)
  t.equal(broken(() => { kv.transact((tx) => { tx.put(row(1).key, row(2).value); tx.put(row(2).key, row(1).value) }) }), 5)
  t.equal(broken(() => { kv.transact((tx) => { tx.remove(row(0).key) }) }), 1)
  t.equal(broken(() => { kv.transact((tx) => { tx.put(row(4).key, row(4).value.subarray(0, 32 + 64)) }) }), 17)
  t.equal(broken(() => { kv.transact((tx) => { tx.put(row(4).key, row(4).value.subarray(0, 50)) }) }), 17)
  t.equal(broken(() => undefined), undefined)
})

t.test('old records go by age and by size; what is left verifies', async (t) => {
  const { kv, clock, trail, options } = setup(undefined, { days: 2 })
  for (let day = 0; day < 5; day++) {
    kv.transact((tx) => { for (let n = 0; n < 10; n++) trail.recordIn(tx, entry(n)) })
    clock.advance(DAY)
  }
  t.same([...readAudit(kv)].map((r) => r.sequence)[0], 31, 'trimmed by itself')
  t.match(verifyAudit(kv, vault(), key), { verified: 20, brokenAt: undefined, lastSequence: 50 })
  trail.close()
  const small = new AuditTrail({ ...options, days: 0, maxBytes: 10 * 64 })
  t.equal(small.trim(), 1)
  t.match(verifyAudit(kv, vault(), key), { verified: 10, brokenAt: undefined, lastSequence: 50 })
  small.close()
  t.equal(new AuditTrail({ ...options, maxBytes: 0 }).trim(), 1, 'even the last batch may go')
  t.equal(new AuditTrail(options).record(entry(1)), 51, 'numbers are never used again')
})

t.test('a trail that cannot be written stops delivery, keeps what it has, and recovers', async (t) => {
  const { disk, kv, clock, trail, errors } = setup()
  for (let n = 1; n <= 3; n++) disk.failNth(n, 'transact', 'STORE_FULL')
  trail.record(entry(1))
  await clock.advanceAsync(60)
  t.notOk(trail.healthy())
  t.equal(errors.length, 1)
  await clock.advanceAsync(5_000)
  t.ok(trail.healthy())
  t.match(verifyAudit(kv, vault(), key), { verified: 1 })
  for (let n = 1; n < 50; n++) disk.failNth(n, 'transact', 'STORE_FULL')
  t.throws(() => { for (let n = 0; n < 10_000; n++) trail.record(entry(n)) }, { code: 'QUEUE_FULL' })
  t.notOk(trail.healthy())
})

t.test('after a zeroization the chain begins anew and says what it cannot verify', async (t) => {
  const { kv, trail, options } = setup()
  for (let n = 0; n < 7; n++) trail.record(entry(n))
  trail.close()
  const other = vault().newKey()
  const next = new AuditTrail({ ...options, key: other, keyIsNew: true })
  next.record(entry(8))
  next.close()
  t.match(verifyAudit(kv, vault(), other), { verified: 1, unverifiable: 7, brokenAt: undefined, lastSequence: 8 })
  vault().dropKey(other)
})
