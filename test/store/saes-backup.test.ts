import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SimDisk } from '../../sim/store.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { backupStore, restoreStore } from '../../src/store/backup.js'
import { prefixRange } from '../../src/store/kv.js'
import { addSae, addSaes, changeSae, getSae, listSaes, saeGeneration, type SaeRow } from '../../src/store/saes.js'
import { bench, fill, vault } from './setup.js'

const sae = (id: string, more: Partial<SaeRow> = {}): SaeRow => ({ id, status: 'active', createdMs: 1, ...more })

t.test('SAEs are added, changed and listed; every change moves the generation', async (t) => {
  const kv = new SimDisk().open()
  t.equal(saeGeneration(kv), 0)
  for (const id of ['b', 'a', 'c', 'a/1']) await addSae(kv, sae(id))
  t.equal(saeGeneration(kv), 4)
  await t.rejects(addSae(kv, sae('a')), { code: 'BAD_REQUEST' })
  await t.rejects(addSaes(kv, [sae('d'), sae('e'), sae('d')]), { code: 'BAD_REQUEST' })
  await t.rejects(addSaes(kv, [sae('d'), sae('e f')]), { code: 'BAD_REQUEST' })
  t.notOk(getSae(kv, 'd'), 'all or none')
  t.equal(await changeSae(kv, 'a', { status: 'suspended', note: 'on leave' }), 5)
  t.same(getSae(kv, 'a'), sae('a', { status: 'suspended', note: 'on leave' }))
  t.same(listSaes(kv).map(({ id }) => id), ['a', 'a/1', 'b', 'c'])
  t.same(listSaes(kv, 'a', 2).map(({ id }) => id), ['a/1', 'b'])
  await changeSae(kv, 'a', { status: 'revoked' })
  await t.rejects(changeSae(kv, 'a', { status: 'active' }), { code: 'BAD_REQUEST', message: /revoked for ever/ })
  await t.rejects(changeSae(kv, 'x', {}), { code: 'NOT_FOUND' })
  for (const bad of [sae('a b'), sae(''), sae('x'.repeat(65)), sae('x', { status: 'gone' as 'active' }), sae('x', { note: 'n'.repeat(501) })]) {
    await t.rejects(addSae(kv, bad), { code: 'BAD_REQUEST' })
  }
  kv.transact((tx) => { tx.put(['sae', 'b'], Uint8Array.of(1, 2)) })
  t.throws(() => getSae(kv, 'b'), { code: 'STORE_CORRUPT' })
})

t.test('a backup carries everything but stock into a new store, which then must void', async (t) => {
  const one = bench(t as Test), two = bench(t as Test)
  const store = await one.open()
  await addSae(store.kv, sae('a'))
  fill(store, 'p', 2)
  store.kv.transact((tx) => { tx.put(['engine', 1], new Uint8Array(900_000).fill(3)); tx.put(['engine', 2], new Uint8Array(900_000).fill(4)) })
  const path = join(one.folder, '..', 'backup')
  const backup = (extra: string[] = ['engine']) => backupStore(store.kv, vault(), store.master, systemRandom, path, extra)
  t.throws(() => backup(['frame']), { code: 'BAD_REQUEST' })
  const rows = backup()
  t.throws(() => backup(), { code: 'STORE_UNAVAILABLE', message: /exists/ })

  const target = await two.open({ master: one.options.master })
  t.equal(await restoreStore(target.kv, vault(), target.master, path, ['engine']), rows)
  t.same(getSae(target.kv, 'a'), sae('a'))
  t.equal(saeGeneration(target.kv), 1)
  t.ok(Buffer.alloc(900_000, 4).equals(target.kv.get(['engine', 2]) as Uint8Array))
  t.same([...target.kv.keys(prefixRange(['frame']))], [])
  await t.rejects(restoreStore(target.kv, vault(), target.master, path, ['engine']), { code: 'STORE_UNAVAILABLE', message: /not empty/ })
  await target.close()
  const after = await two.open({ master: one.options.master })
  t.equal(after.mustVoid?.reason, 'restored')
  t.notSame(after.storeId, store.storeId)
  await after.close()

  const fresh = (): ReturnType<SimDisk['open']> => new SimDisk().open()
  const good = readFileSync(path), wrong = vault().newKey()
  await t.rejects(restoreStore(fresh(), vault(), wrong, path, ['engine']), { code: 'MASTER_KEY_WRONG' })
  vault().dropKey(wrong)
  await t.rejects(restoreStore(fresh(), vault(), store.master, path), { code: 'STORE_CORRUPT', message: /does not travel/ })
  for (const [what, bytes] of [
    ['cut', good.subarray(0, good.length - 1)], ['cut at a chunk', good.subarray(0, 80)], ['changed', flip(good, 5000)], ['changed length', flip(good, 81)],
    ['changed end', flip(good, good.length - 40)], ['other file', Buffer.from('hello')],
  ] as const) {
    writeFileSync(path, bytes)
    const kv = fresh()
    await t.rejects(restoreStore(kv, vault(), store.master, path, ['engine']), { code: 'STORE_CORRUPT' }, what)
    t.same([...kv.keys(prefixRange(['engine']))], [], 'nothing was written')
  }
  await store.close()
})

const flip = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at] = copy[at] as number ^ 1
  return copy
}
