import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { AuditSink } from '../../src/pool/service-ports.js'
import type { RecordKeys } from '../../src/pool/ports.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { AuditTrail } from '../../src/store/audit.js'
import { checkStore } from '../../src/store/check.js'
import type { Kv } from '../../src/store/kv.js'
import { openLmdbKv, type LmdbOptions } from '../../src/store/lmdb.js'
import type { Store } from '../../src/store/open.js'
import { rotateMasterKey } from '../../src/store/rotate.js'
import { addSae, getSae } from '../../src/store/saes.js'
import type { SealKeys } from '../../src/store/seal-keys.js'
import { bench, drain, fill, vault } from './setup.js'

/** What the pools ask for is what the store gives: compiled, not run. */
export const asRecordKeys = (keys: SealKeys): RecordKeys => keys
export const asAuditSink = (trail: AuditTrail): AuditSink => trail

/** The n-th transaction or flush fails and, as with a real disk, everything after it. */
const failing = (n: number, count: { operations: number }) => async (options: LmdbOptions): Promise<Kv> => {
  const kv = await openLmdbKv(options)
  const step = (): void => {
    if (++count.operations >= n) throw new KmeError('STORE_UNAVAILABLE', 'the disk refuses')
  }
  return {
    get: (key) => kv.get(key), copyTo: (key, out) => kv.copyTo(key, out), has: (key) => kv.has(key), range: (range) => kv.range(range), keys: (range) => kv.keys(range), stats: () => kv.stats(), close: () => kv.close(),
    transact: (fn) => { step(); return kv.transact(fn) },
    flushed: async () => { step(); return kv.flushed() },
  }
}

t.test('whichever operation fails, the next start finds a whole store and finishes what was begun', async (t) => {
  let n = 1
  for (let done = false; !done; n++) {
    const b = bench(t as Test), count = { operations: 0 }
    const keyFile = join(b.folder, '..', 'next.key')
    vault().createMasterKeyFile(keyFile)
    const work = async (store: Store): Promise<void> => {
      fill(store, 'stays', 2)
      fill(store, 'goes', 2)
      await store.kv.flushed()
      drain(store, 'goes')
      b.clock.advance(20_000) // Into the next hour.
      store.keys.retire()
      await store.keys.sweep()
      await addSae(store.kv, { id: 'sae', status: 'active', createdMs: 0 })
      const to = vault().openMasterKeyFile(keyFile)
      try {
        await rotateMasterKey({ vault: vault(), kv: store.kv, folder: store.folder, ring: store.ring, from: store.master, to })
      } finally { vault().dropKey(to) }
    }
    let store: Store | undefined
    try {
      store = await b.open({ openKv: failing(n, count) })
      await work(store)
      done = true
    } catch (error) {
      t.equal((error as KmeError).code, 'STORE_UNAVAILABLE', `operation ${n}`)
    }
    await store?.close()
    const after = await b.open().catch((error: KmeError) => {
      t.equal(error.code, 'MASTER_KEY_WRONG', `operation ${n}`)
      return b.open({ master: { keyFile } })
    })
    t.equal(after.mustVoid, undefined)
    const report = await checkStore({ kv: after.kv, vault: vault(), keys: after.keys, tables: ['frame'] })
    t.same([report.bad, report.wrongCounts], [[], []], `operation ${n}`)
    t.ok([0, 2, 4].includes(report.records))
    if (done) t.match([report.records, getSae(after.kv, 'sae')?.id], [2, 'sae'])
    const records = fill(after, 'again', 1)
    t.ok(vault().verifyRecord(after.keys.opener(records[0] as Uint8Array), records[0] as Uint8Array))
    await after.close()
  }
  t.ok(n > 15, `${n} operations were made to fail`)
  t.equal(vault().stats().keysUsed, 0, 'no handle is left, however an opening ended')
})
