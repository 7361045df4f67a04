/**
 * The simulated store: a disk that outlives its processes, and a Kv over it that a test can cut, kill, copy, fail and
 * slow down. Same order, same atomicity and same errors as src/store/lmdb.ts (test/contract/kv).
 */
import { invariant, KmeError } from '../src/kernel/errors.js'
import type { Clock } from '../src/kernel/time.js'
import { decodeKey, encodeKey } from '../src/store/key-codec.js'
import type { AtEnd, Kv, KvEntry, KvKey, KvRange, KvStats, KvWriter } from '../src/store/kv.js'
import { SortedMap } from './store-map.js'

export type SimOperation = 'transact' | 'flush'
/** A write: undefined removes. */
type Write = readonly [string, Uint8Array | undefined]

export interface SimStoreOptions {
  /** With a clock a flush takes `flushMs`; without, it completes at once. */
  readonly clock?: Clock
  readonly flushMs?: number
}

/** What the disk holds: `durable` survives a power cut, `unflushed` are the later transactions in order. */
export class SimDisk {
  private durable = new SortedMap()
  private unflushed: Write[][] = []
  private current: SimKv | undefined
  private failures: { kind: SimOperation | 'any', left: number, code: 'STORE_FULL' | 'STORE_UNAVAILABLE' }[] = []
  /** Operations of all processes so far, for "fail the n-th" loops. */
  readonly operations: Record<SimOperation, number> = { transact: 0, flush: 0 }

  /** A new process opens the disk. The one before it must be gone. */
  open (options: SimStoreOptions = {}): SimKv {
    invariant(this.current === undefined, 'the disk is open in another process')
    const live = this.durable.clone()
    for (const writes of this.unflushed) applyTo(live, writes)
    return this.current = new SimKv(this, live, options)
  }

  /** Power is cut: what was not flushed is lost, but `survivors` of the oldest such transactions may have reached the disk. */
  powerCut (survivors = 0): void {
    this.detach()
    for (const writes of this.unflushed.slice(0, survivors)) applyTo(this.durable, writes)
    this.unflushed = []
  }

  /** The process is killed: the newest `lost` of the transactions that were not flushed are lost, by default none. */
  kill (lost = 0): void {
    this.detach()
    if (lost > 0) this.unflushed.splice(Math.max(0, this.unflushed.length - lost))
  }

  /** Transactions that a power cut would lose. */
  get unflushedCount (): number { return this.unflushed.length }

  /** The n-th operation of that kind from now (1 is the next) fails; after a failed flush or write the Kv is dead until reopened. */
  failNth (n: number, kind: SimOperation | 'any' = 'any', code: 'STORE_FULL' | 'STORE_UNAVAILABLE' = 'STORE_UNAVAILABLE'): void {
    this.failures.push({ kind, left: n, code })
  }

  /** Takes back failures that have not happened. */
  heal (): void { this.failures = [] }

  /** A copy of the folder as it is now: what a backup tool or a machine image would hold. */
  copy (): SimDisk {
    const disk = new SimDisk()
    disk.durable = this.durable.clone()
    disk.unflushed = [...this.unflushed]
    return disk
  }

  /** The disk becomes `other` again: an operator restores an old copy. No process may be running. */
  restore (other: SimDisk): void {
    invariant(this.current === undefined, 'stop the process before the disk is replaced')
    this.durable = other.durable.clone()
    this.unflushed = [...other.unflushed]
  }

  /** @internal */
  operation (kind: SimOperation): void {
    this.operations[kind]++
    for (const failure of this.failures) {
      if ((failure.kind === 'any' || failure.kind === kind) && --failure.left === 0) {
        throw new KmeError(failure.code, `simulated failure of a ${kind}`)
      }
    }
  }

  /** @internal */
  committed (writes: Write[]): void { this.unflushed.push(writes) }

  /** @internal The oldest `count` transactions become durable. */
  makeDurable (count: number): void {
    for (const writes of this.unflushed.splice(0, count)) applyTo(this.durable, writes)
  }

  /** @internal */
  released (kv: SimKv): void { if (this.current === kv) this.current = undefined }

  private detach (): void {
    this.current?.die()
    this.current = undefined
  }
}

const applyTo = (map: SortedMap, writes: readonly Write[]): void => {
  for (const [key, value] of writes) value === undefined ? map.delete(key) : map.set(key, value)
}

export class SimKv implements Kv {
  private failure: KmeError | undefined
  private dead = false
  private inTransaction = false
  private flushing: Promise<void> | undefined
  private waiting: { promise: Promise<void>, start: () => void } | undefined

  constructor (private readonly disk: SimDisk, private readonly live: SortedMap, private readonly options: SimStoreOptions) {}

  get (key: KvKey): Uint8Array | undefined { return copyOf(this.live.get(encodeKey(key))) }
  copyTo (key: KvKey, out: Uint8Array): number { return copyInto(this.live.get(encodeKey(key)), out) }
  has (key: KvKey): boolean { return this.live.has(encodeKey(key)) }
  range (range: KvRange): Iterable<KvEntry> { return entriesOf(this.live, undefined, range) }
  keys (range: KvRange): Iterable<KvKey> { return keysOf(this.live, undefined, range) }

  transact<T> (fn: (tx: KvWriter) => T): T {
    invariant(!this.inTransaction, 'transactions do not nest')
    this.refuseIfDead()
    const tx = new SimWriter(this.live)
    this.inTransaction = true
    try {
      const result = fn(tx)
      const after: (() => void)[] = []
      for (const last of tx.last) {
        const then = last(tx)
        if (then !== undefined) after.push(then)
      }
      if (tx.writes.size > 0) {
        this.disk.operation('transact')
        const writes = [...tx.writes]
        applyTo(this.live, writes)
        this.disk.committed(writes)
      }
      tx.live = false
      for (const then of after) then()
      return result
    } finally {
      tx.live = false
      this.inTransaction = false
    }
  }

  flushed (): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    if (this.dead) return never
    if (this.disk.unflushedCount === 0) return Promise.resolve()
    if (this.flushing === undefined) return this.flushing = this.flush()
    // A flush under way may have begun before the caller's commit: callers share the next one.
    if (this.waiting === undefined) {
      let start!: () => void
      const begun = new Promise<void>((resolve) => { start = resolve })
      this.waiting = { promise: begun.then(() => this.flushing = this.flush()), start }
    }
    return this.waiting.promise
  }

  stats (): KvStats { return { usedBytes: 0, limitBytes: Number.MAX_SAFE_INTEGER, freeBytes: Number.MAX_SAFE_INTEGER, pendingBytes: 0 } }

  async close (): Promise<void> {
    if (!this.dead && this.failure === undefined) await this.flushed()
    this.die()
    this.disk.released(this)
  }

  /** @internal The process is gone: promises never settle, calls fail. */
  die (): void { this.dead = true }

  private async flush (): Promise<void> {
    const count = this.disk.unflushedCount
    if (this.options.clock === undefined) await Promise.resolve() // The caller notes the promise first.
    else await new Promise<void>((resolve) => { this.options.clock?.after(this.options.flushMs ?? 1, resolve) })
    if (this.dead) return never
    try {
      this.disk.operation('flush')
      this.disk.makeDurable(count)
    } catch (error) {
      this.failure = error as KmeError
      throw error
    } finally {
      this.flushing = undefined
      const { waiting } = this
      this.waiting = undefined
      waiting?.start()
    }
  }

  private refuseIfDead (): void {
    if (this.failure !== undefined) throw this.failure
    if (this.dead) throw new KmeError('STORE_UNAVAILABLE', 'the store is closed')
  }
}

class SimWriter implements KvWriter {
  readonly writes = new Map<string, Uint8Array | undefined>()
  readonly last = new Set<AtEnd>()
  live = true

  constructor (private readonly base: SortedMap) {}

  get (key: KvKey): Uint8Array | undefined {
    const encoded = this.encode(key)
    return copyOf(this.writes.has(encoded) ? this.writes.get(encoded) : this.base.get(encoded))
  }

  copyTo (key: KvKey, out: Uint8Array): number {
    const encoded = this.encode(key)
    return copyInto(this.writes.has(encoded) ? this.writes.get(encoded) : this.base.get(encoded), out)
  }

  has (key: KvKey): boolean {
    const encoded = this.encode(key)
    return this.writes.has(encoded) ? this.writes.get(encoded) !== undefined : this.base.has(encoded)
  }

  range (range: KvRange): Iterable<KvEntry> { this.encode(range.start); return entriesOf(this.base, this.writes, range) }
  keys (range: KvRange): Iterable<KvKey> { this.encode(range.start); return keysOf(this.base, this.writes, range) }
  put (key: KvKey, value: Uint8Array): void { this.writes.set(this.encode(key), new Uint8Array(value)) }
  remove (key: KvKey): void { this.writes.set(this.encode(key), undefined) }
  atEnd (fn: AtEnd): void { invariant(this.live, 'a transaction is used within its function only'); this.last.add(fn) }

  private encode (key: KvKey): string {
    invariant(this.live, 'a transaction is used within its function only')
    return encodeKey(key)
  }
}

const never = new Promise<never>(() => undefined)
const copyInto = (value: Uint8Array | undefined, out: Uint8Array): number => {
  if (value === undefined) return -1
  out.set(value.subarray(0, out.length))
  return value.length
}
const copyOf = (value: Uint8Array | undefined): Uint8Array | undefined => value === undefined ? undefined : new Uint8Array(value)

function * walk (base: SortedMap, writes: ReadonlyMap<string, Uint8Array | undefined> | undefined, range: KvRange): Generator<[string, Uint8Array]> {
  const start = encodeKey(range.start), end = encodeKey(range.end)
  const above = [...writes?.keys() ?? []].filter((key) => key >= start && key < end && !base.has(key))
  const keys = [...base.between(start, end), ...above]
  if (above.length > 0) keys.sort((a, b) => a < b ? -1 : 1)
  if (range.reverse === true) keys.reverse()
  let left = range.limit ?? Infinity
  for (const key of keys) {
    const value = writes?.has(key) === true ? writes.get(key) : base.get(key)
    if (value === undefined) continue
    if (left-- <= 0) return
    yield [key, value]
  }
}

function * entriesOf (base: SortedMap, writes: ReadonlyMap<string, Uint8Array | undefined> | undefined, range: KvRange): Generator<KvEntry> {
  for (const [key, value] of walk(base, writes, range)) yield { key: decodeKey(key), value: new Uint8Array(value) }
}

function * keysOf (base: SortedMap, writes: ReadonlyMap<string, Uint8Array | undefined> | undefined, range: KvRange): Generator<KvKey> {
  for (const [key] of walk(base, writes, range)) yield decodeKey(key)
}
