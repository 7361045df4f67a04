/**
 * A key: a table name, then numbers, strings or bytes. Ordered element by element: numbers by value before strings
 * by code point before bytes; a shorter key before its continuations (src/store/key-codec.ts). At most 512 bytes.
 */
export type KvKey = readonly (string | number | Uint8Array)[]

export interface KvEntry { readonly key: KvKey, readonly value: Uint8Array }

/** Half-open: `start` included, `end` excluded. `reverse` walks from `end` down. */
export interface KvRange { readonly start: KvKey, readonly end: KvKey, readonly reverse?: boolean, readonly limit?: number }

export interface KvReader {
  /** A copy owned by the caller, or undefined. Never key plaintext: the store holds sealed records only. */
  get (key: KvKey): Uint8Array | undefined
  /** Copies the value to the beginning of `out`, as much of it as there is room for. @returns the value's length, -1 if there is none. */
  copyTo (key: KvKey, out: Uint8Array): number
  has (key: KvKey): boolean
  /**
   * Entries in order, each key at most once, values owned by the caller. Read in pages: what is written while the
   * caller walks may or may not be seen, so a walk may remove what it finds.
   */
  range (range: KvRange): Iterable<KvEntry>
  /** Keys only: does not touch the pages of large values. */
  keys (range: KvRange): Iterable<KvKey>
}

export type AtEnd = (tx: KvWriter) => (() => void) | void

export interface KvWriter extends KvReader {
  /** `value` is copied before the call returns. At most 1 MiB. */
  put (key: KvKey, value: Uint8Array): void
  remove (key: KvKey): void
  /**
   * Runs `fn` after the transaction's function, still inside the transaction; the same function only once. For what is
   * gathered during a transaction and written in one row. Not run if the transaction's function throws. What `fn`
   * returns runs once the transaction is visible, and only then.
   */
  atEnd (fn: AtEnd): void
}

/** Bytes. `used` counts the data file's pages that hold something, `free` the file system, `pending` what is not in the data file yet. */
export interface KvStats { readonly usedBytes: number, readonly limitBytes: number, readonly freeBytes: number, readonly pendingBytes: number }

/**
 * The store as the rest of qkme sees it: atomic transactions, and a separate promise of durability.
 * Two implementations: LMDB (src/store/lmdb.ts) and a simulated one that forgets what was not
 * flushed and fails on demand (sim/store.ts). Both pass test/contract/kv.
 *
 * Transactions become durable in their order: whatever cut happens, what is found again is the effect of a first part
 * of them, whole, and that part contains everything that a `flushed()` has confirmed. Even a killed process may lose
 * transactions that were visible but not flushed.
 */
export interface Kv extends KvReader {
  /**
   * Runs `fn` in one atomic transaction, synchronously: after it all its writes are visible, and none
   * if it throws. Visible is not durable: await `flushed()`. Transactions do not nest, and the writer is dead after `fn`.
   * @throws KmeError `STORE_FULL` (disk or map is full; a transaction that removes something may still pass),
   * `STORE_UNAVAILABLE` (closed, or the disk refused an earlier write: the store must be opened again).
   */
  transact<T> (fn: (tx: KvWriter) => T): T
  /**
   * Resolves when everything that was committed before this call survives a power cut. Concurrent
   * callers share one flush. Rejects with KmeError `STORE_FULL` or `STORE_UNAVAILABLE` if the disk refuses: then nothing
   * may be assumed, and the store refuses all work until it is opened again.
   */
  flushed (): Promise<void>
  stats (): KvStats
  /** Flushes, then closes. Never rejects because of an earlier failure. @throws KmeError `STORE_UNAVAILABLE` if the disk takes nothing for 30 s. */
  close (): Promise<void>
}

/** All keys that begin with `prefix`: a range for `KvReader.range`. */
export const prefixRange = (prefix: KvKey): KvRange => ({ start: prefix, end: [...prefix, KEY_END] })

/** Above every other element of a key that is not longer than 32 bytes: the end of a walk over a prefix. */
export const KEY_END: Uint8Array = new Uint8Array(33).fill(0xff)
