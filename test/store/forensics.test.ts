import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkStore } from '../../src/store/check.js'
import type { Store } from '../../src/store/open.js'
import { saltOf } from '../../src/store/starts.js'
import { liesIn, nonceOf, slotKeys, subkeyFor } from './examiner.js'
import { bench, drain, fill, vault, type Bench } from './setup.js'

const HOUR_MS = 3_600_000

/** A folder's life: what was sealed in it by whom, and everything an examiner could collect on the way. */
class Evidence {
  readonly records: Uint8Array[] = []
  readonly salts: Uint8Array[] = []
  readonly seals: Buffer[] = []
  readonly master: Buffer

  constructor (readonly bench: Bench) { this.master = readFileSync(join(bench.folder, '..', 'master.key')) }

  async start (folder = this.bench.folder): Promise<Store> {
    const store = await this.bench.open({ folder })
    this.salts.push(saltOf(store.kv, store.start.number))
    return store
  }

  seal (store: Store, pool: string, count: number, first = 0): Uint8Array[] {
    const made = fill(store, pool, count, 512, first)
    for (const key of slotKeys(store.folder, this.master)) if (!this.seals.some((known) => known.equals(key))) this.seals.push(key) // While it is there.
    this.records.push(...made)
    return made
  }

  copy (name: string): string {
    const to = join(this.bench.folder, '..', name)
    cpSync(this.bench.folder, to, { recursive: true })
    return to
  }

  /** How many of `records` open with the slots of `folder` as they are now. */
  opened (folder: string, records: readonly Uint8Array[]): number {
    const seals = slotKeys(folder, this.master)
    return records.filter((record) => subkeyFor(record, seals, this.salts) !== undefined).length
  }
}

/** Every record row opens, and the slots count exactly what is there. */
const accounts = async (t: Test, store: Store, records: number): Promise<void> => {
  const report = await checkStore({ kv: store.kv, vault: vault(), keys: store.keys, tables: ['frame'] })
  t.match(report, { records, bad: [], wrongCounts: [] }, 'the store adds up')
}

t.test('who has the master key, every file and every copy opens nothing that was erased, and no nonce was used twice', async (t) => {
  const e = new Evidence(bench(t as Test))
  const { folder, clock } = e.bench
  let store = await e.start()
  const erased = e.seal(store, 'p', 6)
  const kept = e.seal(store, 'q', 4)
  await store.kv.flushed()
  await store.close()
  const old = e.copy('old')
  t.equal(e.opened(folder, [...erased, ...kept]), 10, 'the examiner can open what is there')

  store = await e.start()
  drain(store, 'p')
  clock.advance(HOUR_MS)
  await store.keys.sweep()
  const later = e.seal(store, 'p', 3, 100)
  await accounts(t as Test, store, 7)
  await store.close()
  t.ok(erased.some((record) => liesIn(folder, record)), 'ciphertext of erased key still lies in free pages')
  t.same([e.opened(folder, erased), e.opened(folder, kept), e.opened(folder, later)], [0, 4, 3], 'erased means erased')

  // The copy lives on beside the original, under the same numbers of starts.
  const twin = await e.start(old)
  t.equal(twin.mustVoid?.reason, 'copied')
  e.seal(twin, 'p', 5, 200)
  e.seal(twin, 'q', 5, 200)
  await twin.close()

  // The old copy is put back in place: its own slots open what they held then, which is why its stock is void.
  cpSync(folder, join(folder, '..', 'newest'), { recursive: true })
  rmSync(folder, { recursive: true })
  cpSync(old, folder, { recursive: true })
  store = await e.start()
  t.equal(store.mustVoid?.reason, 'copied')
  e.seal(store, 'p', 5, 300)
  await store.close()
  t.equal(e.opened(join(folder, '..', 'newest'), erased), 0, 'what the newest folder erased stays erased there')

  store = await e.start()
  await store.kv.flushed()
  await store.zeroize()
  await store.close()
  t.equal(slotKeys(folder, e.master).length, 0, 'zeroize leaves no key')
  t.equal(e.opened(folder, e.records), 0)
  store = await e.start()
  t.equal(store.mustVoid?.reason, 'zeroized', 'and the store says so until its stock is void')
  for (const pool of ['p', 'q']) drain(store, pool)
  store.kv.transact((tx) => { store.confirmVoid(tx) })
  const fresh = e.seal(store, 'p', 2, 400)
  await accounts(t as Test, store, 2)
  await store.close()
  t.equal(e.opened(folder, fresh), 2)

  const used = e.records.map((record) => {
    const subkey = subkeyFor(record, e.seals, e.salts)
    t.ok(subkey, 'every record ever sealed is told to its key')
    return `${subkey} ${Buffer.from(nonceOf(record)).toString('hex')}`
  })
  t.equal(new Set(used).size, e.records.length, 'no (key, nonce) twice over all copies and starts')
  t.ok(new Set(e.records.map((record) => Buffer.from(nonceOf(record)).toString('hex'))).size < e.records.length, 'though copies used equal start numbers and counters')
})
