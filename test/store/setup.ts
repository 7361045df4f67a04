/** A store in a folder of its own, with the real vault. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { SimClock } from '../../sim/clock.js'
import { loadNative, type NativeVault } from '../../src/device/native.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { openStore, type Store, type StoreOptions } from '../../src/store/open.js'

let shared: NativeVault | undefined
/** One vault for a test file: locked memory is scarce. */
export const vault = (): NativeVault => shared ??= loadNative().createVault({ arenaBytes: 1 << 20, allowUnlockedMemory: true })

const TEN_SECONDS_BEFORE_AN_HOUR_MS = 1_700_002_790_000

export interface Bench {
  readonly folder: string
  readonly clock: SimClock
  readonly options: StoreOptions
  readonly failures: unknown[]
  open (more?: Partial<StoreOptions>): Promise<Store>
}

export const bench = (t: Test): Bench => {
  // Memory, where there is some: these tests sync hundreds of times, and test/store/lmdb.test.ts goes to a real disk.
  const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'qkme-store-'))
  t.teardown(() => { rmSync(root, { recursive: true, force: true }) })
  const keyFile = join(root, 'master.key'), machineIdPath = join(root, 'machine-id')
  vault().createMasterKeyFile(keyFile)
  writeFileSync(machineIdPath, 'machine-one\n')
  const failures: unknown[] = [], clock = new SimClock(TEN_SECONDS_BEFORE_AN_HOUR_MS), folder = join(root, 'store')
  const options: StoreOptions = {
    folder, master: { keyFile }, vault: vault(), random: systemRandom, clock, mapBytes: 1 << 28, reserveBytes: 1 << 20, copies: 'void',
    machineIdPath, create: true, onFailure: (error) => { failures.push(error) },
  }
  return { folder, clock, options, failures, open: (more = {}) => openStore({ ...options, ...more }) }
}

/** Seals `count` records of `bytes` random bytes for `pool` and stores them as ['frame', pool, n]. */
export const fill = (store: Store, pool: string, count: number, bytes = 256, first = 0): Uint8Array[] => {
  const records: Uint8Array[] = []
  const { sealer, slot } = store.keys.sealer(pool)
  store.kv.transact((tx) => {
    for (let n = first; n < first + count; n++) {
      const header = new Uint8Array(64), view = new DataView(header.buffer), out = new Uint8Array(4096)
      header[0] = 1
      header[1] = 2
      view.setUint32(4, 7, true)
      view.setUint32(24, n, true)
      view.setUint32(28, bytes, true)
      view.setUint32(32, slot, true)
      view.setUint32(36, store.start.number, true)
      view.setUint32(56, 0xffff_ffff, true)
      const record = out.slice(0, vault().sealRandom(sealer, header, bytes, out))
      tx.put(['frame', pool, n], record)
      records.push(record)
    }
    store.keys.added(tx, slot, count)
  })
  return records
}

/** Removes a pool's records with their count, as the engine does. */
export const drain = (store: Store, pool: string): void => {
  store.kv.transact((tx) => {
    for (const { key, value } of tx.range({ start: ['frame', pool], end: ['frame', `${pool}\x01`] })) {
      tx.remove(key)
      store.keys.removed(tx, new DataView(value.buffer, value.byteOffset).getUint32(32, true), 1)
    }
  })
}
