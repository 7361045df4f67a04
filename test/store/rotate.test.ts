import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { rotateMasterKey, type Rotation } from '../../src/store/rotate.js'
import type { Store } from '../../src/store/open.js'
import { bench, fill, vault, type Bench } from './setup.js'

const newKey = (b: Bench): string => {
  const keyFile = join(b.folder, '..', 'new.key')
  vault().createMasterKeyFile(keyFile)
  return keyFile
}

const rotate = async (store: Store, keyFile: string, before?: Rotation['before']): Promise<number> => {
  const to = vault().openMasterKeyFile(keyFile)
  try {
    return await rotateMasterKey({ vault: vault(), kv: store.kv, folder: store.folder, ring: store.ring, from: store.master, to, ...(before === undefined ? {} : { before }) })
  } finally {
    vault().dropKey(to)
  }
}

t.test('another master key opens everything, the old one nothing', async (t) => {
  const b = bench(t as Test)
  const store = await b.open()
  const records = [...fill(store, 'p', 3), ...fill(store, 'q', 2)]
  const key = vault().newKey(), wrapped = store.keys.wrap(key), check = vault().keyCheck(key)
  const { storeId } = store, old = readFileSync(join(b.folder, 'keyslots.bin'))
  const keyFile = newKey(b)
  t.equal(await rotate(store, keyFile), 4, 'two pools, the row key, the audit key')
  await store.close()
  await t.rejects(b.open(), { code: 'MASTER_KEY_WRONG' })
  const after = await b.open({ master: { keyFile } })
  t.same(after.storeId, storeId)
  t.equal(after.mustVoid, undefined)
  for (const record of records) t.ok(vault().verifyRecord(after.keys.opener(record), record))
  const back = after.keys.unwrap(wrapped)
  t.same(vault().keyCheck(back), check)
  for (const handle of [key, back]) vault().dropKey(handle)
  await after.close()
  const now = readFileSync(join(b.folder, 'keyslots.bin'))
  for (const slot of [0, 1, 8, 9]) t.equal(now.indexOf(old.subarray(4096 + 128 * slot + 16, 4096 + 128 * slot + 40)), -1, 'nothing of the old wrapping is left')
})

t.test('a crash before any step leaves a store that one of the two keys opens, with all its records', async (t) => {
  for (const [step, opener] of [['write', 'old'], ['commit', 'old'], ['rename', 'new'], ['overwrite', 'new']] as const) {
    const b = bench(t as Test)
    const store = await b.open()
    const records = fill(store, 'p', 2)
    const keyFile = newKey(b)
    await t.rejects(rotate(store, keyFile, (at) => { if (at === step) throw new Error(`cut at ${at}`) }), { message: `cut at ${step}` })
    await store.close()
    const right = opener === 'new' ? { master: { keyFile } } : {}
    await t.rejects(b.open(opener === 'new' ? {} : { master: { keyFile } }), { code: 'MASTER_KEY_WRONG' }, step)
    const after = await b.open(right)
    for (const record of records) t.ok(vault().verifyRecord(after.keys.opener(record), record), step)
    for (const left of ['.new', '.old']) t.notOk(existsSync(join(b.folder, `keyslots.bin${left}`)), `${step}: ${left} is gone`)
    if (opener === 'old') {
      t.equal(await rotate(after, keyFile), 3, 'and it can be begun again')
      await after.close()
      await (await b.open({ master: { keyFile } })).close()
    } else await after.close()
  }
})
