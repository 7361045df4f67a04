import { timingSafeEqual } from 'node:crypto'
import type { BlockHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { MessageName, Body } from '../peer/messages.js'
import type { PeerChannel } from '../peer/ports.js'
import type { KvWriter } from '../store/kv.js'
import { Outbox, type Sequenced } from './outbox.js'
import type { PoolDeps } from './ports.js'
import { ReadHeaders } from './read-headers.js'
import { encodeAccount, encodeBlock } from './row-codec.js'
import { Tally } from './tally.js'
import {
  accountKey, blockKey, framesKey, getRow, metaKey, metaEncoder, newAccount, newMeta, tableOf, decodeRow,
  type AccountRow, type BlockRow, type FrameRef, type MetaRow, type Owner,
} from './rows.js'

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

/** Rows as a commit wrote them. */
interface Written { readonly meta: Uint8Array, readonly account: Uint8Array }

const NOTHING: Written = { meta: new Uint8Array(0), account: new Uint8Array(0) }
/** More than are leased at once. */
const FRAMES_KEPT = 64
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/**
 * The state that the parts of one pool share: its rows in memory, one transaction helper, the way to the peer.
 * Rows in memory and in the store change together, in `commit`; if that fails the process must end (`fatal`),
 * because memory would be ahead of the disk.
 */
export class PoolCore {
  readonly meta: MetaRow
  readonly account: AccountRow
  /** Changed by `putBlock` and `removeBlock` only. */
  readonly blocks = new Map<number, BlockRow>()
  readonly tally = new Tally()
  readonly outbox: Outbox
  /** The proposer's: whose the last block of keys became, and how many in a row. */
  given: { readonly owner: Owner, readonly inARow: number } = { owner: 'theirs', inARow: 0 }
  channel: PeerChannel | undefined
  /** True between the end of a resynchronisation and the loss of the channel. */
  ready = false
  /** Why an operator holds the pool, here or at the other KME; '' if none does. Kept by Holds. */
  held = ''
  private processedFlushed = 0
  /** They never change: a lease, a view and the erasure ask for them one after the other. */
  private readonly frames = new Map<number, readonly FrameRef[]>()
  readonly headers = new ReadHeaders()
  private deferred: (() => void)[] | undefined
  private readonly encoder = metaEncoder()
  private written = NOTHING
  private writing = NOTHING

  constructor (readonly deps: PoolDeps) {
    this.meta = getRow<MetaRow>(deps.kv, metaKey(this.pool)) ?? newMeta()
    this.account = getRow<AccountRow>(deps.kv, accountKey(this.pool)) ?? newAccount()
    this.processedFlushed = this.meta.lastProcessed
    this.outbox = new Outbox(this)
    for (const { value } of deps.kv.range(tableOf('block', this.pool))) {
      const row = decodeRow<BlockRow>(value)
      this.blocks.set(row.number, row)
      this.tally.put(row)
    }
  }

  /** What this peer knows us by. */
  get storeId (): Uint8Array { return this.meta.identity ?? this.deps.incarnation.storeId }
  get pool (): string { return this.deps.poolId ?? this.deps.remote }
  /** The KME with the lower ID numbers and proposes the blocks. */
  get proposer (): boolean { return this.deps.self < this.deps.remote }

  /** One atomic step: `fn` changes rows in memory and in the store. Meta and account are written with it. */
  commit<T> (fn: (tx: KvWriter) => T): T {
    const deferred: (() => void)[] = this.deferred = []
    try {
      const result = this.deps.kv.transact((tx) => {
        const result = fn(tx)
        this.putChanged(tx)
        return result
      })
      this.deferred = undefined
      this.written = this.writing
      for (const then of deferred) this.durable(then)
      return result
    } catch (error) {
      this.deferred = undefined
      // A peer's message that does not fit is found before any row is changed: it ends the connection, not the process.
      if (!(error instanceof KmeError && error.code === 'PROTOCOL')) this.deps.fatal(error)
      throw error
    }
  }

  /** Meta and account, if they are other than what the last commit wrote: many commits change one of them only. */
  private putChanged (tx: KvWriter): void {
    const { written } = this, meta = this.encoder.encode(this.meta), account = encodeAccount(this.account)
    this.writing = { meta, account }
    if (!isSame(meta, written.meta)) tx.put(metaKey(this.pool), meta)
    if (!isSame(account, written.account)) tx.put(accountKey(this.pool), account)
  }

  /** The account in a transaction that others share, if it is other than what was written last. */
  putAccount (tx: KvWriter): void {
    const account = encodeAccount(this.account)
    if (isSame(account, this.written.account)) return
    tx.put(accountKey(this.pool), account)
    tx.atEnd(() => () => { this.written = { meta: this.written.meta, account } })
  }

  /** Runs `then` when everything committed so far is on disk; asked inside a commit, that commit too. */
  durable (then: () => void): void {
    if (this.deferred !== undefined) { this.deferred.push(then); return }
    this.deps.kv.flushed().then(then).catch((error: unknown) => { this.deps.fatal(error) })
  }

  putBlock (tx: KvWriter, block: BlockRow): void {
    this.blocks.set(block.number, block)
    this.tally.put(block)
    tx.put(blockKey(this.pool, block.number), encodeBlock(block))
  }

  removeBlock (tx: KvWriter, number: number): void {
    this.blocks.delete(number)
    this.tally.remove(number)
    this.frames.delete(number)
    this.headers.forget(number)
    tx.remove(blockKey(this.pool, number))
  }

  /** A block's frames; those of the last ones that were asked for are kept. */
  framesOf (number: number): readonly FrameRef[] {
    const known = this.frames.get(number)
    if (known !== undefined) return known
    const frames = getRow<FrameRef[]>(this.deps.kv, framesKey(this.pool, number))
    if (frames === undefined) return []
    if (this.frames.size >= FRAMES_KEPT) for (const oldest of this.frames.keys()) { this.frames.delete(oldest); break }
    this.frames.set(number, frames)
    return frames
  }

  send<N extends MessageName> (name: N, body: Body<N>): boolean {
    return this.channel?.send(name, body) === 'sent'
  }

  /** What is sent within `run` may leave in one piece. */
  together (run: () => void): void {
    if (this.channel?.together === undefined) run()
    else this.channel.together(run)
  }

  /** Queues a message in the transaction of its effect (`Outbox`). @returns its number. */
  enqueue<N extends Sequenced> (tx: KvWriter, name: N, body: Omit<Body<N>, 'seq' | 'first'>): number { return this.outbox.add(tx, name, body) }

  /** Inside the commit of its effect: this message of the peer is processed. */
  processed (seq: number): void {
    this.meta.lastProcessed = seq
    this.durable(() => { this.processedFlushed = seq })
  }

  /** What the peer may drop of its outbox: messages up to this number are processed, and that is on disk. A new store of the peer counts anew. */
  get processedTo (): number { return Math.min(this.processedFlushed, this.meta.lastProcessed) }

  /** Neither an alarm nor an operator keeps the pool from serving. */
  get isServing (): boolean { return this.meta.suspended === '' && this.held === '' }

  protocol (what: string): KmeError { return new KmeError('PROTOCOL', `${this.deps.remote}: ${what}`) }

  security (event: string, detail: string): void { this.deps.emit({ type: 'security', event, detail }) }

  /** Bytes that are sure never to have been named, by cause. */
  burn (cause: string, bytes: number): void {
    if (bytes > 0) this.account.burned[cause] = (this.account.burned[cause] ?? 0) + bytes
  }

  /** Books delivered bytes elsewhere: an answer that was aborted. */
  rebook (cause: string, bytes: number): void {
    this.account.delivered -= bytes
    this.burn(cause, bytes)
  }

  release (handle: BlockHandle | undefined): void { if (handle !== undefined) this.deps.vault.dropBlock(handle) }
}
