import fc from 'fast-check'
import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { SimDisk, type SimKv } from '../../sim/store.js'
import { META_NUMBERS, RECORD_STRIDE } from '../../src/device/native.js'
import { Claims, SLAVES_MAX } from '../../src/pool/claims.js'
import type { PoolCore } from '../../src/pool/core.js'
import { Fairness } from '../../src/pool/fairness.js'
import { PendingFrames } from '../../src/pool/pending.js'
import { Rate } from '../../src/pool/rate.js'
import { encodeRow, framesKey, newAccount, tableOf, usableBytes, type BlockRow, type FrameRef } from '../../src/pool/rows.js'
import { makeRecordHeader, RECORD_KIND, RECORD_OVERHEAD_BYTES } from '../../src/store/record.js'

const runs = { numRuns: 150 }

const blockRow = (number: number, bytes: number): BlockRow => ({
  number, owner: 'theirs', purpose: 'app', lane: 0, epoch: 1, state: 'open', bytes, index: number, spent: 0, bornMs: 0, bornWallMs: 0, closedMs: 0,
})

/** What claims and frames need of a pool's core. */
const MAX_BYTES = 20_000
const coreOf = (kv: SimKv, blocks: readonly BlockRow[], clock = new SimClock()): PoolCore => {
  const account = newAccount()
  return {
    pool: 'B', blocks: new Map(blocks.map((b) => [b.number, b])), account,
    deps: { kv, clock, limits: { maxStockBytes: MAX_BYTES }, keys: { added: () => {}, removed: () => {} } },
    burn: (cause: string, n: number) => { if (n > 0) account.burned[cause] = (account.burned[cause] ?? 0) + n },
    framesOf: (number: number) => { const row = kv.get(framesKey('B', number)); return row === undefined ? [] : decode(row) },
  } as unknown as PoolCore
}
const decode = (row: Uint8Array): FrameRef[] => frames.get(Buffer.from(row).toString('hex')) ?? []
const frames = new Map<string, FrameRef[]>()

const claimOf = fc.record({
  block: fc.integer({ min: 1, max: 3 }), place: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 120, max: 136 }), fc.integer({ min: 250, max: 299 })), length: fc.integer({ min: 1, max: 120 }),
  association: fc.integer({ min: 1, max: 3 }), slave: fc.integer({ min: 0, max: 3 }), written: fc.boolean(), reread: fc.boolean(),
})

t.test('claims: no byte belongs to two claims, no slave has a key twice, and the store says what memory says', async (t) => {
  fc.assert(fc.property(fc.array(claimOf, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, kept) => {
    const kv = new SimDisk().open()
    const blocks = [1, 2, 3].map((n) => blockRow(n, 2_448))
    const core = coreOf(kv, blocks)
    const slaves = 4
    let claims = new Claims(core, kept)
    const taken = new Map<string, { block: number, from: number, to: number, length: number, association: number, has: Set<number>, stored: Set<number> }>()
    for (const { block: number, place, length, association, slave, written, reread } of steps) {
      const block = blocks[number - 1]!
      const to = place + Math.ceil(length / 8)
      if (to * 8 > usableBytes(block)) continue
      const own = taken.get(`${number}/${place}`)
      const other = [...taken.values()].some((c) => c !== own && c.block === number && c.from < to && place < c.to)
      const expected = own !== undefined && (own.length !== length || own.association !== association) ? 'overlap'
        : other ? 'overlap' : own?.has.has(slave) === true ? 'taken' : 'fresh'
      if (claims.check(block, place, length, association, slave) !== expected) return false
      if (expected !== 'fresh') continue
      claims.take(block, place, length, association, slave, slaves)
      const claim = own ?? { block: number, from: place, to, length, association, has: new Set<number>(), stored: new Set<number>() }
      claim.has.add(slave)
      taken.set(`${number}/${place}`, claim)
      if (!written && !claims.isHeld(number)) return false // A claim that is not answered keeps its block.
      kv.transact((tx) => { claims.write(tx, number, place) })
      claims.letGo(number)
      if (reread) claims = new Claims(core, kept) // A restart: only what was written is known.
    }
    const all = [...taken.values()]
    for (const b of blocks) if (claims.claimedBytes(b.number) !== all.filter((c) => c.block === b.number).reduce((sum, c) => sum + (c.to - c.from) * 8, 0)) return false
    for (const b of blocks) if (claims.isHeld(b.number) !== all.some((c) => c.block === b.number && c.has.size < slaves)) return false
    const delivered = all.reduce((sum, c) => sum + c.length, 0), whole = all.reduce((sum, c) => sum + (c.to - c.from) * 8, 0)
    return core.account.delivered === delivered && (core.account.burned['padding'] ?? 0) === whole - delivered
  }), runs)
  t.ok(SLAVES_MAX === 32, 'the mask of a claim has a bit for each slave')
})

t.test('claims: those of a segment share a row, which leaves out what is only set', async (t) => {
  const kv = new SimDisk().open(), block = blockRow(1, 4_096), core = coreOf(kv, [block])
  const claims = new Claims(core)
  for (const place of [0, 4, 8, 124, 128, 300]) claims.take(block, place, 32, 1, 0, 2)
  kv.transact((tx) => { for (const place of [0, 4, 124, 128]) claims.write(tx, 1, place) })
  t.equal([...kv.keys(tableOf('claim', 'B', 1))].length, 2, 'two segments')
  const again = new Claims(core), answer = (place: number, slave: number): string => again.check(block, place, 32, 1, slave)
  t.same([0, 4, 124, 128].map((place) => answer(place, 0)), ['taken', 'taken', 'taken', 'taken'])
  t.same([8, 300].map((place) => answer(place, 0)), ['fresh', 'fresh'], 'their own transaction has not come')
  t.equal(answer(4, 1), 'fresh', 'the other slave')
  t.equal(again.claimedBytes(1), 128)
  kv.transact((tx) => { claims.write(tx, 1, 8); claims.write(tx, 1, 300) })
  t.equal(new Claims(core).claimedBytes(1), 192)
})

t.test('claims: rows of schema 1 hold beside those of today', async (t) => {
  const kv = new SimDisk().open(), block = blockRow(1, 4_096), core = coreOf(kv, [block])
  kv.transact((tx) => {
    tx.put(['claim', 'B', 1, 0], Uint8Array.of(32, 0, 7, 0, 1, 0, 0, 0, 2, 0)) // At place 0: 32 bytes, association 7, the first of two slaves has it.
    tx.put(['claim', 'B', 1, 5], Uint8Array.of(16, 0, 7, 0, 1, 0, 0, 0, 1, 0))
  })
  const claims = new Claims(core)
  t.same([claims.check(block, 0, 32, 7, 0), claims.check(block, 0, 32, 7, 1), claims.check(block, 5, 16, 7, 0), claims.check(block, 6, 8, 7, 0)], ['taken', 'fresh', 'taken', 'overlap'])
  claims.take(block, 0, 32, 7, 1, 2)
  claims.take(block, 8, 32, 7, 0, 1)
  kv.transact((tx) => { for (const place of [0, 8]) claims.write(tx, 1, place) })
  const again = new Claims(core)
  t.same([again.check(block, 0, 32, 7, 1), again.check(block, 5, 16, 7, 0), again.check(block, 8, 32, 7, 0)], ['taken', 'taken', 'taken'])
  t.same([again.claimedBytes(1), new Claims(core).claimedBytes(1)], [80, 80], 'a claim in both forms counts once')
  t.notOk(again.isHeld(1), 'both slaves have the first one')
  kv.transact((tx) => { tx.put(['claim', 'B', 1, -1], new Uint8Array(12)) })
  t.throws(() => new Claims(core).check(block, 0, 32, 7, 0), { code: 'STORE_CORRUPT' })
})

t.test('claims: rows go with their block, those of earlier starts and of an earlier schema too, and no others', async (t) => {
  const kv = new SimDisk().open(), blocks = [1, 2, 3, 4].map((n) => blockRow(n, 4_096)), core = coreOf(kv, blocks), left = (): unknown[] => Array.from(kv.keys(tableOf('claim', 'B')), ([, , number, at]) => [number, at])
  const claim = (claims: Claims, number: number, place: number): void => {
    claims.take(blocks[number - 1]!, place, 32, 1, 0, 1)
    kv.transact((tx) => { claims.write(tx, number, place) })
    claims.letGo(number)
  }
  kv.transact((tx) => {
    tx.put(['claim', 'B', 2, 0], Uint8Array.of(32, 0, 7, 0, 1, 0, 0, 0, 1, 0))
    tx.put(['claim', 'Bx', 2, -1], new Uint8Array(11)) // Of another pool.
  })
  const before = new Claims(core)
  for (const number of [2, 4]) claim(before, number, 200)
  const claims = new Claims(core)
  claim(claims, 2, 300)
  for (const place of [0, 128, 130]) claim(claims, 1, place)
  t.same(left(), [[1, -2], [1, -1], [2, -3], [2, -2], [2, 0], [4, -2]])
  t.same([1, 2, 3, 4].map((number) => new Claims(core).claimedBytes(number)), [96, 96, 0, 32])
  kv.transact((tx) => { claims.erase(tx, 2); claims.erase(tx, 3) })
  t.same(left(), [[1, -2], [1, -1], [4, -2]])
  kv.transact((tx) => { claims.erase(tx, 1); claims.erase(tx, 4) })
  t.same([left(), [...kv.keys(tableOf('claim', 'Bx'))].length], [[], 1])
  t.same([1, 2, 4].map((number) => claims.claimedBytes(number)), [0, 0, 0])
})

t.test('claims: who asks what is claimed of all blocks pushes none out of memory', async (t) => {
  const kv = new SimDisk().open(), blocks = Array.from({ length: 12 }, (_, i) => blockRow(i + 1, 560)), core = coreOf(kv, blocks), claims = new Claims(core, 2)
  claims.take(blocks[0]!, 4, 32, 1, 0, 1)
  kv.transact((tx) => { claims.write(tx, 1, 4) })
  claims.letGo(1)
  let reads = 0
  const { range } = kv
  kv.range = (of) => { reads++; return range.call(kv, of) }
  t.same(blocks.map(({ number }) => claims.claimedBytes(number)), [32, ...new Array<number>(11).fill(0)])
  t.equal(reads, 0, 'one is in memory, and the others have never had a claim')
  t.equal(claims.check(blocks[0]!, 4, 32, 1, 0), 'taken')
  t.equal(reads, 0, 'and stays there')
})

t.test('claims: of a block that is gone, what was set and not written is neither written nor booked', async (t) => {
  const kv = new SimDisk().open(), block = blockRow(1, 560), core = coreOf(kv, [block]), claims = new Claims(core)
  claims.take(block, 0, 32, 1, 0, 1)
  claims.take(block, 4, 32, 1, 0, 1)
  kv.transact((tx) => {
    claims.write(tx, 1, 0)
    claims.erase(tx, 1)
  })
  kv.transact((tx) => { claims.write(tx, 1, 4) })
  t.same([[...kv.keys(tableOf('claim', 'B', 1))], core.account.delivered], [[], 32], 'the first was booked before its block went')
})

t.test('claims: what is in memory is bounded, and unanswered claims never leave it', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 40 }), (order) => {
    const blocks = Array.from({ length: 12 }, (_, i) => blockRow(i + 1, 560))
    const claims = new Claims(coreOf(new SimDisk().open(), blocks), 2)
    const first = order[0]!
    claims.take(blocks[first - 1]!, 0, 32, 1, 0, 1) // Never written: only memory knows it.
    for (const n of order) claims.check(blocks[n - 1]!, 5, 8, 1, 0)
    return claims.check(blocks[first - 1]!, 0, 32, 1, 0) === 'taken' && claims.check(blocks[first - 1]!, 1, 8, 2, 0) === 'overlap'
  }), runs)
})

t.test('rate: never negative, falls when nothing comes, and tends to what comes', async () => {
  fc.assert(fc.property(fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 5_000 }), amount: fc.integer({ min: 0, max: 1_000_000 }) }), { maxLength: 50 }), fc.integer({ min: 100, max: 20_000 }), (steps, tauMs) => {
    const clock = new SimClock()
    const rate = new Rate(clock, tauMs)
    let expected = 0
    for (const { waitMs, amount } of steps) {
      const before = rate.perSecond()
      clock.advance(waitMs)
      const after = rate.perSecond()
      if (after < 0 || after > before) return false
      rate.add(amount)
      expected = expected * Math.exp(-waitMs / tauMs) + amount * 1_000 / tauMs
      if (Math.abs(rate.perSecond() - expected) > 0.02 * expected + 1e-6) return false
    }
    return true
  }), runs)
  fc.assert(fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1_000, max: 10_000 }), (perSecond, tauMs) => {
    const clock = new SimClock()
    const rate = new Rate(clock, tauMs)
    for (let i = 0; i < tauMs; i++) { clock.advance(10); rate.add(perSecond / 100) } // Ten time constants.
    return Math.abs(rate.perSecond() / perSecond - 1) < 0.02
  }), { numRuns: 20 })
})

t.test('fairness: who has an equal share or less may take the last fifth, who has more may not', async () => {
  fc.assert(fc.property(fc.array(fc.record({ sae: fc.integer({ min: 0, max: 6 }), bytes: fc.integer({ min: 1, max: 100_000 }), waitMs: fc.integer({ min: 0, max: 2_000 }) }), { minLength: 1, maxLength: 60 }), (uses) => {
    const clock = new SimClock()
    const fairness = new Fairness(clock)
    const mine = new Map<string, number>(), lastMs = new Map<string, number>()
    for (const { sae, bytes, waitMs } of uses) {
      clock.advance(waitMs)
      for (const [name, value] of mine) mine.set(name, value * Math.exp(-waitMs / 10_000))
      fairness.used(`s${sae}`, bytes)
      mine.set(`s${sae}`, (mine.get(`s${sae}`) ?? 0) + bytes / 10)
      lastMs.set(`s${sae}`, clock.now())
    }
    if (!fairness.mayTakeLast('nobody yet')) return false
    for (const [name, value] of mine) {
      // A share is kept for those that took something in the last ten seconds.
      const others = [...mine].filter(([other]) => other === name || clock.now() - lastMs.get(other)! < 10_000)
      const share = value * others.length / others.reduce((sum, [, rate]) => sum + rate, 0)
      if (share < 0.99 && !fairness.mayTakeLast(name)) return false
      if (share > 1.06 && fairness.mayTakeLast(name)) return false
    }
    return [...mine.keys()].some((name) => fairness.mayTakeLast(name)) // The least greedy one always may.
  }), runs)
})

t.test('fairness: who has stopped keeps no share from the others, and gets its own back', async (t) => {
  const clock = new SimClock(), fairness = new Fairness(clock)
  for (let i = 0; i < 20; i++) {
    fairness.used('greedy', 100_000)
    fairness.used('modest', 10_000)
    clock.advance(100)
  }
  t.notOk(fairness.mayTakeLast('greedy'))
  clock.advance(9_500)
  t.notOk(fairness.mayTakeLast('greedy'), 'the other one may only be slow')
  clock.advance(600)
  t.ok(fairness.mayTakeLast('greedy'), 'it has stopped')
  fairness.used('modest', 100)
  t.notOk(fairness.mayTakeLast('greedy'), 'it is there again, and the past of neither is forgotten')
  t.ok(fairness.mayTakeLast('modest'))
})

t.test('fairness: an SAE alone may always take; very many SAEs are not remembered for ever', async (t) => {
  const fairness = new Fairness(new SimClock())
  fairness.used('only', 1_000_000)
  t.ok(fairness.mayTakeLast('only'))
  for (let i = 0; i < 10_000; i++) fairness.used(`s${i}`, 100)
  t.ok((fairness as unknown as { uses: Map<string, unknown> }).uses.size <= 4_096)
})

const frameOf = fc.record({ link: fc.integer({ min: 1, max: 2 }), n: fc.integer({ min: 0, max: 9 }), offset: fc.integer({ min: 0, max: 2 }), length: fc.integer({ min: 1, max: 3_968 }) })
const refOf = (f: { link: number, n: number, offset: number, length: number }): FrameRef => ({ link: f.link, id: f.n.toString(16).padStart(32, '0'), offset: f.offset, length: f.length })
const nameOf = (f: FrameRef): string => `${f.link}/${f.id}/${f.offset}`

t.test('pending frames: in order of arrival, each once, and their bytes add up', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const), frame: frameOf }), fc.record({ do: fc.constant('remove' as const), frame: frameOf }),
    fc.record({ do: fc.constant('wait' as const), frame: frameOf }),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 20 }), (steps, count) => {
    const clock = new SimClock()
    const pending = new PendingFrames(coreOf(new SimDisk().open(), [], clock), [1, 2], 12)
    let model: { frame: FrameRef, sinceMs: number, order: number }[] = []
    let order = 0
    for (const s of steps) {
      const frame = refOf(s.frame), at = model.findIndex((m) => nameOf(m.frame) === nameOf(frame))
      if (s.do === 'wait') clock.advance(100)
      else if (s.do === 'add' && at < 0) { pending.add(frame); model.push({ frame, sinceMs: clock.now(), order: ++order }) }
      else if (s.do === 'remove') { pending.remove([frame]); model = model.filter((_, i) => i !== at) }
    }
    const middle = model[model.length >> 1]?.order ?? 0, bytes = model.reduce((sum, m) => sum + m.frame.length, 0)
    return pending.size === model.length && pending.full === (model.length >= 12 || bytes >= MAX_BYTES) && pending.bytes === bytes &&
      pending.oldestMs === model[0]?.sinceMs && JSON.stringify(pending.peek(count)) === JSON.stringify(model.slice(0, count).map((m) => m.frame)) &&
      model.every((m) => pending.find(m.frame)?.length === m.frame.length && pending.orderOf(m.frame) === m.order) &&
      JSON.stringify(pending.before(middle)) === JSON.stringify(model.filter((m) => m.order < middle).map((m) => m.frame)) &&
      pending.ofDeviceBlock(1, '0'.repeat(32)).length === model.filter((m) => m.frame.link === 1 && m.frame.id === '0'.repeat(32)).length
  }), runs)
})

t.test('pending frames after a start: every stored frame that no block holds; what cannot be what was stored is named', async () => {
  fc.assert(fc.property(fc.uniqueArray(fc.record({ frame: frameOf, isLong: fc.boolean(), inBlock: fc.boolean(), damaged: fc.boolean() }), { maxLength: 20, selector: (x) => nameOf(refOf(x.frame)) }), (drawn) => {
    const stored = drawn.map((s) => s.isLong ? { ...s, frame: { ...s.frame, length: 3_968 } } : s) // Those share rows.
    const kv = new SimDisk().open()
    const core = coreOf(kv, [blockRow(1, 600)])
    const pending = new PendingFrames(core, [1, 2])
    kv.transact((tx) => {
      for (const link of [1, 2]) {
        const batch = stored.filter((s) => s.frame.link === link), records = new Uint8Array(batch.length * RECORD_STRIDE), meta = new Uint32Array(batch.length * META_NUMBERS)
        batch.forEach((s, i) => {
          records.set(makeRecordHeader(RECORD_KIND.device, refOf(s.frame), s.damaged ? s.frame.length + 1 : s.frame.length, 1, 1), i * RECORD_STRIDE)
          meta[i * META_NUMBERS] = s.frame.length + RECORD_OVERHEAD_BYTES
        })
        pending.take(tx, records, meta, batch.length)
      }
      const held = stored.filter((s) => s.inBlock).map((s) => pending.find(refOf(s.frame))!)
      const row = encodeRow(held)
      frames.set(Buffer.from(row).toString('hex'), held)
      tx.put(framesKey('B', 1), row)
    })
    const again = new PendingFrames(core, [1, 2])
    const damaged = again.restore()
    const free = stored.filter((s) => !s.inBlock)
    const sorted = (refs: readonly FrameRef[]): string => JSON.stringify(refs.map((f) => `${nameOf(f)}:${f.length}`).sort())
    return sorted(again.peek(99)) === sorted(free.filter((s) => !s.damaged).map((s) => refOf(s.frame))) &&
      sorted(damaged) === sorted(free.filter((s) => s.damaged).map((s) => refOf(s.frame))) &&
      core.account.ingested === stored.reduce((sum, s) => sum + s.frame.length, 0)
  }), runs)
})
