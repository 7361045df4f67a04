import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openLmdbKv } from '../../src/store/lmdb.js'
import { META } from '../../src/store/meta.js'
import { SCHEMA } from '../../src/store/schema.js'
import { u32 } from '../../src/store/numbers.js'
import { bench, fill, vault } from './setup.js'

t.test('a store keeps its identity and counts its starts', async (t) => {
  const b = bench(t as Test)
  const one = await b.open()
  t.equal(one.start.number, 1)
  t.equal(one.mustVoid, undefined)
  const { storeId, start } = one
  await one.close()
  const two = await b.open()
  t.same(two.storeId, storeId)
  t.equal(two.start.number, 2)
  t.notSame(two.start.nonce, start.nonce)
  t.ok(two.known(1, start.nonce))
  t.notOk(two.known(1, two.start.nonce))
  t.notOk(two.known(3, start.nonce))
  await two.close()
  await t.rejects(b.open({ folder: join(b.folder, 'other'), create: false }), { code: 'STORE_UNAVAILABLE' })
  t.same(b.failures, [])
})

t.test('the age never goes back, whatever happened', async (t) => {
  const b = bench(t as Test)
  let last = 0
  for (const runMs of [10, 59_999, 150_000, 1]) {
    const store = await b.open()
    t.ok(store.age.ageMs() >= last)
    await b.clock.advanceAsync(runMs)
    last = store.age.ageMs()
    await store.close()
  }
})

t.test('a wrong master key is refused, and the right one still opens', async (t) => {
  const b = bench(t as Test)
  await (await b.open()).close()
  const keyFile = join(b.folder, '..', 'wrong.key')
  vault().createMasterKeyFile(keyFile)
  await t.rejects(b.open({ master: { keyFile } }), { code: 'MASTER_KEY_WRONG', message: /wrong\.key/ })
  await t.rejects(b.open({ master: { keyFile: join(b.folder, 'none') } }), { code: 'MASTER_KEY_MISSING' })
  await (await b.open()).close()
})

t.test('a newer schema is refused and left alone; an older one is migrated step by step', async (t) => {
  const b = bench(t as Test)
  const store = await b.open({ schema: { target: SCHEMA - 1, steps: [] } })
  store.kv.transact((tx) => { tx.put(['old', 'a'], u32(1)) })
  await store.close()
  const steps = [
    { to: SCHEMA, what: 'old becomes new', run: (tx: Parameters<Parameters<typeof store.kv.transact>[0]>[0]) => { for (const { key, value } of tx.range({ start: ['old'], end: ['olf'] })) { tx.remove(key); tx.put(['new', key[1] as string], value) } } },
    { to: SCHEMA + 1, what: 'new counts', run: (tx: Parameters<Parameters<typeof store.kv.transact>[0]>[0]) => { tx.put(['count'], u32([...tx.keys({ start: ['new'], end: ['nex'] })].length)) } },
  ]
  await t.rejects(b.open({ schema: { target: SCHEMA + 2, steps } }), { code: 'STORE_CORRUPT', message: new RegExp(`${SCHEMA + 1} to ${SCHEMA + 2}`) })
  const migrated = await b.open({ schema: { target: SCHEMA + 1, steps } })
  t.same(migrated.migrated, [], 'the two steps before the missing one were done and are durable')
  t.same(migrated.kv.get(['new', 'a']), u32(1))
  t.same(migrated.kv.get(['count']), u32(1))
  await migrated.close()
  await t.rejects(b.open(), { code: 'STORE_NEWER', message: new RegExp(`schema ${SCHEMA + 1}`) })
})

t.test('a first start that was cut is begun again', async (t) => {
  const b = bench(t as Test)
  await (await b.open()).close()
  const kv = await openLmdbKv({ folder: join(b.folder, 'db'), mapBytes: 1 << 28, reserveBytes: 0 })
  kv.transact((tx) => { tx.remove(META.schema) })
  await kv.close()
  const store = await b.open()
  fill(store, 'p', 2)
  await store.close()
})
