import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bench, fill } from './setup.js'

t.test('a copied store says so until its stock is voided', async (t) => {
  const b = bench(t as Test)
  const original = await b.open()
  const { storeId } = original
  fill(original, 'p', 3)
  await original.close()
  const copy = join(b.folder, '..', 'copy')
  cpSync(b.folder, copy, { recursive: true })
  await t.rejects(b.open({ folder: copy, copies: 'refuse' }), { code: 'STORE_COPIED', message: /inode was/ })
  const first = await b.open({ folder: copy })
  t.equal(first.mustVoid?.reason, 'copied')
  t.notSame(first.storeId, storeId, 'a copy is another store')
  await first.close()
  const second = await b.open({ folder: copy })
  t.equal(second.mustVoid?.reason, 'copied', 'not forgotten before the stock is void')
  second.kv.transact((tx) => { second.confirmVoid(tx) })
  await second.kv.flushed()
  await second.close()
  const third = await b.open({ folder: copy, copies: 'refuse' })
  t.same(third.storeId, second.storeId)
  t.equal(third.mustVoid, undefined)
  await third.close()
  writeFileSync(b.options.machineIdPath as string, 'machine-two\n')
  const moved = await b.open()
  t.match(moved.mustVoid?.detail, /machine was machine-one and is machine-two/)
  await moved.close()
})

t.test('an old data file put back in place is a copy too', async (t) => {
  const b = bench(t as Test)
  await (await b.open()).close()
  const data = join(b.folder, 'db', 'data.mdb'), saved = join(b.folder, '..', 'saved.mdb')
  copyFileSync(data, saved)
  unlinkSync(data)
  copyFileSync(saved, data)
  const store = await b.open()
  t.equal(store.mustVoid?.reason, 'copied')
  await store.close()
})

t.test('what is missing or no folder is said', async (t) => {
  const b = bench(t as Test)
  await (await b.open()).close()
  const slots = join(b.folder, 'keyslots.bin'), saved = readFileSync(slots)
  unlinkSync(slots)
  await t.rejects(b.open(), { code: 'STORE_CORRUPT', message: /keyslots\.bin is missing/ })
  writeFileSync(slots, saved.subarray(0, 4096 - 1))
  await t.rejects(b.open(), { code: 'STORE_CORRUPT' })
  const changed = Buffer.from(saved)
  changed[100] = changed[100] as number ^ 1
  writeFileSync(slots, changed)
  await t.rejects(b.open(), { code: 'MASTER_KEY_WRONG' })
  writeFileSync(slots, saved)
  rmSync(join(b.folder, 'db'), { recursive: true })
  await t.rejects(b.open(), { code: 'STORE_CORRUPT', message: /data file is empty/ })
  const file = join(b.folder, '..', 'file')
  writeFileSync(file, '')
  await t.rejects(b.open({ folder: file }), { code: 'STORE_UNAVAILABLE', message: /not a folder/ })
  await t.rejects(b.open({ folder: join(file, 'sub') }), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(b.open({ reserveBytes: Number.MAX_SAFE_INTEGER }), { code: 'STORE_FULL' })
  if (process.getuid?.() !== 0) {
    const locked = join(b.folder, '..', 'locked')
    mkdirSync(locked)
    chmodSync(locked, 0o500)
    await t.rejects(b.open({ folder: locked }), { code: 'STORE_UNAVAILABLE', message: /chown/ })
  }
})
