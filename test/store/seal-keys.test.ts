import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkStore } from '../../src/store/check.js'
import { KEY_INFO } from '../../src/store/master-key.js'
import { slotAad } from '../../src/store/key-slots.js'
import { slotRows } from '../../src/store/seal-keys.js'
import { RECORD_PITCH_BYTES, recordsKey, RECORDS_TABLE, removedKey } from '../../src/store/shared-records.js'
import { bench, drain, fill, vault } from './setup.js'

const HOUR = 3_600_000

t.test('records open over restarts, each start under its own subkey', async (t) => {
  const b = bench(t as Test)
  const records: Uint8Array[] = []
  for (let start = 0; start < 3; start++) {
    const store = await b.open()
    records.push(...fill(store, 'p', 5, 3968, 5 * start))
    for (const record of records) t.ok(vault().verifyRecord(store.keys.opener(record), record))
    await store.kv.flushed()
    await store.close()
  }
  const nonces = records.map((record) => Buffer.from(record.subarray(64, 76)).toString('hex'))
  t.equal(new Set(nonces).size, 15, 'no (start, counter) twice')
  const store = await b.open()
  const report = await checkStore({ kv: store.kv, vault: vault(), keys: store.keys, tables: ['frame'] })
  t.same(report, { records: 15, bytes: 15 * 4060, bad: [], badMore: 0, wrongCounts: [] })
  await store.close()
})

t.test('store check names every record that does not open, and every wrong count', async (t) => {
  const b = bench(t as Test)
  const store = await b.open()
  const [first] = fill(store, 'p', 4)
  const bad = new Uint8Array(first as Uint8Array)
  bad[bad.length - 1] = bad[bad.length - 1] as number ^ 1
  store.kv.transact((tx) => {
    tx.put(['frame', 'p', 0], bad)
    tx.put(['frame', 'p', 9], new Uint8Array(10))
    tx.remove(['frame', 'p', 3])
  })
  const seen: number[] = []
  const report = await checkStore({ kv: store.kv, vault: vault(), keys: store.keys, tables: ['frame'], progress: (n) => { seen.push(n) } })
  t.match(report.bad, [{ key: 'frame/p/0', name: /link 7.*offset 0/, why: /tag/ }, { key: 'frame/p/9', why: /short/ }])
  t.equal(report.bad.length, 2)
  t.same(report.wrongCounts.map(({ counted, found }) => [counted, found]), [[4, 3]])
  t.same(seen, [4])
  await store.close()
})

t.test('store check looks at each record of a shared row, but for those that are gone', async (t) => {
  const store = await bench(t as Test).open()
  const records = fill(store, 'p', 4, 3_968), row = new Uint8Array(3 * RECORD_PITCH_BYTES + records[0]!.length)
  records.forEach((record, i) => { row.set(record, i * RECORD_PITCH_BYTES) })
  row[2 * RECORD_PITCH_BYTES + 500]! ^= 1
  store.kv.transact((tx) => {
    for (let n = 0; n < 4; n++) tx.remove(['frame', 'p', n])
    tx.put(recordsKey(7, 1), row)
    tx.put(removedKey(7, 1), Uint8Array.of(2, 0)) // Record 1, and nobody has counted it out.
    tx.put(recordsKey(7, 2), row.subarray(0, 100))
  })
  const report = await checkStore({ kv: store.kv, vault: vault(), keys: store.keys, tables: ['frame', RECORDS_TABLE] })
  t.match(report.bad, [{ key: 'records/7/1/2', name: /link 7.*offset 2/, why: /tag/ }, { key: 'records/7/2/0', why: /short/ }])
  t.equal(report.bad.length, 2)
  t.same([report.records, report.wrongCounts.map(({ counted, found }) => [counted, found])], [4, [[4, 3]]])
  await store.close()
})

t.test('when the last record of an hour is gone its key is gone, even with the master key and an old data file', async (t) => {
  const b = bench(t as Test)
  const store = await b.open()
  const [old] = fill(store, 'p', 3) as [Uint8Array]
  const { slot } = store.keys.sealer('p')
  await store.kv.flushed()
  const before = readFileSync(join(b.folder, 'keyslots.bin')).subarray(4096 + 128 * slot, 4096 + 128 * slot + 128)
  const oldCopy = join(b.folder, '..', 'old')
  cpSync(join(b.folder, 'db'), join(oldCopy, 'db'), { recursive: true })
  t.equal(await store.keys.sweep(), 0, 'in use')
  b.clock.advance(HOUR)
  const [fresh] = fill(store, 'p', 1, 256, 100) as [Uint8Array]
  t.equal(await store.keys.sweep(), 0, 'records left')
  drain(store, 'p')
  t.equal(await store.keys.sweep(), 1)
  t.notSame(store.keys.sealer('p').slot, slot)
  t.throws(() => store.keys.opener(old), { code: 'STORE_CORRUPT' })
  t.ok(vault().verifyRecord(store.keys.opener(fresh), fresh), 'the hour that runs is not touched')
  const after = readFileSync(join(b.folder, 'keyslots.bin'))
  t.ok(after.subarray(4096 + 128 * slot, 4096 + 128 * slot + 128).every((byte) => byte === 0))
  for (let at = 0; at < 60; at += 16) t.equal(after.indexOf(before.subarray(16 + at, 16 + at + 8)), -1, 'no trace of the wrapped key')
  await store.close()
  // An old copy of the data file beside today's slots does not help.
  cpSync(join(b.folder, 'keyslots.bin'), join(oldCopy, 'keyslots.bin'))
  const revived = await b.open({ folder: oldCopy })
  t.equal(revived.mustVoid?.reason, 'copied')
  t.throws(() => revived.keys.opener(old), { code: 'STORE_CORRUPT' })
  const report = await checkStore({ kv: revived.kv, vault: vault(), keys: revived.keys, tables: ['frame'] })
  t.equal(report.bad.length, 3)
  await revived.close()
})

t.test('a crash between any two steps of an erasure is finished by the next start', async (t) => {
  const b = bench(t as Test)
  let store = await b.open()
  fill(store, 'p', 2)
  const { slot } = store.keys.sealer('p')
  drain(store, 'p')
  await store.close() // Records gone, slot not erased.
  store = await b.open()
  t.same(slotRows(store.kv), [])
  const file = readFileSync(join(b.folder, 'keyslots.bin'))
  t.ok(file.subarray(4096 + 128 * slot, 4096 + 128 * (slot + 1)).every((byte) => byte === 0))
  await store.close()
  // Slot written, its row lost by the crash: an orphan, erased.
  const orphan = Buffer.from(file)
  orphan[4096 + 128 * 20] = 1
  orphan.fill(7, 4096 + 128 * 20 + 16, 4096 + 128 * 20 + 76)
  writeFileSync(join(b.folder, 'keyslots.bin'), orphan)
  await (await b.open()).close()
  t.ok(readFileSync(join(b.folder, 'keyslots.bin')).subarray(4096 + 128 * 20, 4096 + 128 * 21).every((byte) => byte === 0))
})

t.test('a slot moved to another place does not open', async (t) => {
  const b = bench(t as Test)
  const store = await b.open()
  const kek = vault().deriveKey(store.master, store.ring, KEY_INFO.slots), key = vault().newKey()
  const wrapped = vault().wrapKey(kek, key, slotAad(store.ring, 9, 1, 2))
  for (const aad of [slotAad(store.ring, 8, 1, 2), slotAad(store.ring, 9, 2, 2), slotAad(store.ring, 9, 1, 3)]) {
    t.throws(() => vault().unwrapKey(kek, wrapped, aad), { code: 'MASTER_KEY_WRONG' })
  }
  vault().dropKey(vault().unwrapKey(kek, wrapped, slotAad(store.ring, 9, 1, 2)))
  for (const handle of [kek, key]) vault().dropKey(handle)
  await store.close()
})

t.test('many pools and hours: the file grows, handles stay bounded, nothing leaks', async (t) => {
  const b = bench(t as Test)
  const before = vault().stats().keysUsed
  const store = await b.open()
  const records: Uint8Array[] = []
  for (let hour = 0; hour < 70; hour++) {
    for (let pool = 0; pool < 10; pool++) records.push(...fill(store, `pool${pool}`, 1, 32, hour))
    b.clock.advance(HOUR)
  }
  t.equal(slotRows(store.kv).length, 700)
  for (const record of records) t.ok(vault().verifyRecord(store.keys.opener(record), record))
  t.ok(vault().stats().keysUsed - before < 120, `${vault().stats().keysUsed - before} handles`)
  await store.close()
  t.equal(vault().stats().keysUsed, before)
  const again = await b.open()
  t.ok(vault().verifyRecord(again.keys.opener(records[3] as Uint8Array), records[3] as Uint8Array))
  await again.close()
})

t.test('wrapped keys of rows come back; zeroize leaves nothing that opens, and the store says so', async (t) => {
  const b = bench(t as Test)
  const store = await b.open()
  const records = fill(store, 'p', 3)
  const key = vault().newKey(), check = vault().keyCheck(key), wrapped = store.keys.wrap(key)
  const back = store.keys.unwrap(wrapped)
  t.same(vault().keyCheck(back), check)
  for (const handle of [key, back]) vault().dropKey(handle)
  const { storeId } = store
  await store.zeroize()
  await store.close()
  const slots = readFileSync(join(b.folder, 'keyslots.bin'))
  t.ok(slots.subarray(4096).every((byte) => byte === 0))
  const after = await b.open()
  t.equal(after.mustVoid?.reason, 'zeroized')
  t.notSame(after.storeId, storeId)
  for (const record of records) t.throws(() => after.keys.opener(record), { code: 'STORE_CORRUPT' })
  t.throws(() => after.keys.unwrap(wrapped), { code: 'STORE_CORRUPT' })
  await after.close()
})
