/** A key: a table name, then numbers or strings. Ordered element by element (ordered-binary encoding). */
export type KvKey = readonly (string | number | Uint8Array)[]

export interface KvEntry { readonly key: KvKey, readonly value: Uint8Array }

/** Half-open: `start` included, `end` excluded. `reverse` walks from `end` down. */
export interface KvRange { readonly start: KvKey, readonly end: KvKey, readonly reverse?: boolean, readonly limit?: number }

export interface KvReader {
  /** A copy owned by the caller, or undefined. Never key plaintext: the store holds sealed records only. */
  get (key: KvKey): Uint8Array | undefined
  has (key: KvKey): boolean
  range (range: KvRange): Iterable<KvEntry>
  /** Keys only: does not touch the pages of large values. */
  keys (range: KvRange): Iterable<KvKey>
}

export interface KvWriter extends KvReader {
  /** `value` is copied before the call returns. */
  put (key: KvKey, value: Uint8Array): void
  remove (key: KvKey): void
}

/**
 * The store as the rest of qkme sees it: atomic transactions, and a separate promise of durability.
 * Two implementations: LMDB (src/store/lmdb.ts) and a simulated one that forgets what was not
 * flushed and fails on demand (sim/store.ts). Both pass test/contract/kv.
 */
export interface Kv extends KvReader {
  /**
   * Runs `fn` in one atomic transaction, synchronously: after it all its writes are visible, and none
   * if it throws. Visible is not durable: await `flushed()`.
   * @throws KmeError `STORE_FULL` (disk or map is full), `STORE_UNAVAILABLE` (I/O error).
   */
  transact<T> (fn: (tx: KvWriter) => T): T
  /**
   * Resolves when everything that was committed before this call survives a power cut. Concurrent
   * callers share one flush. Rejects with KmeError `STORE_UNAVAILABLE` if the disk refuses: then nothing may be assumed.
   */
  flushed (): Promise<void>
  close (): Promise<void>
}
