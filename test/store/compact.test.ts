import { cpSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compactStore, type Compaction } from '../../src/store/compact.js'
import type { Kv } from '../../src/store/kv.js'
import { prefixRange } from '../../src/store/kv.js'
import { bench, fill, vault, type Bench } from './setup.js'

const dataBytes = (b: Bench): number => statSync(join(b.folder, 'db', 'data.mdb')).size
const frames = (kv: Kv): string[] => [...kv.range(prefixRange(['frame']))].map(({ key, value }) => `${key.join('/')} ${Buffer.from(value).toString('hex')}`)
const compaction = (b: Bench, more: Partial<Compaction> = {}): Compaction =>
  ({ folder: b.folder, random: b.options.random, mapBytes: b.options.mapBytes, reserveBytes: 0, machineIdPath: b.options.machineIdPath!, ...more })

/** Much was there, little is left; the last rows are still in the journal. */
const emptied = async (b: Bench): Promise<string[]> => {
  const store = await b.open()
  fill(store, 'p', 600, 3_000)
  await store.kv.flushed()
  store.kv.transact((tx) => { for (let n = 0; n < 590; n++) tx.remove(['frame', 'p', n]) })
  await store.kv.flushed()
  const left = frames(store.kv)
  await store.close()
  return left
}

t.test('gives free pages back; every row stays, and the store is no copy', async (t) => {
  const b = bench(t as Test), left = await emptied(b), before = dataBytes(b)
  const { beforeBytes, afterBytes } = await compactStore(compaction(b))
  t.equal(beforeBytes, before)
  t.equal(afterBytes, dataBytes(b))
  t.ok(afterBytes < before / 4, `${before} bytes, now ${afterBytes}`)
  t.notOk(existsSync(join(b.folder, 'db.compact')))
  const store = await b.open({ copies: 'refuse' })
  t.equal(store.mustVoid, undefined)
  t.same(frames(store.kv), left)
  t.equal(left.length, 10)
  for (const { value } of store.kv.range(prefixRange(['frame']))) t.ok(vault().verifyRecord(store.keys.opener(value), value))
  fill(store, 'q', 3)
  await store.close()
  const again = await b.open({ copies: 'refuse' })
  t.equal(frames(again.kv).length, 13, 'the journal goes on')
  await again.close()
})

t.test('cut before any step, the store is as it was, and its next opening removes the copy', async (t) => {
  const b = bench(t as Test), left = await emptied(b), cut = new Error('cut')
  for (const at of ['copy', 'stamp', 'rename'] as const) {
    await t.rejects(compactStore(compaction(b, { before: (step) => { if (step === at) throw cut } })), cut)
    const store = await b.open({ copies: 'refuse' })
    t.notOk(existsSync(join(b.folder, 'db.compact')), at)
    t.equal(store.mustVoid, undefined, at)
    t.same(frames(store.kv), left, at)
    await store.close()
  }
})

t.test('refuses a store in use, a copied one, a disk without room, and none', async (t) => {
  const b = bench(t as Test)
  await t.rejects(compactStore(compaction(b)), { code: 'STORE_UNAVAILABLE' })
  await emptied(b)
  const store = await b.open()
  await t.rejects(compactStore(compaction(b)), { code: 'STORE_LOCKED' })
  await store.close()
  const bytes = dataBytes(b)
  await t.rejects(compactStore(compaction(b, { reserveBytes: 2 ** 50 })), { code: 'STORE_FULL' })
  const copy = `${b.folder}-copy`
  cpSync(b.folder, copy, { recursive: true })
  await t.rejects(compactStore(compaction(b, { folder: copy })), { code: 'STORE_COPIED' })
  t.equal(dataBytes(b), bytes)
})
