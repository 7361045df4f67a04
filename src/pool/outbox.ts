import type { Body, MessageName } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { decodeRow, encodeRow, outboxKey, tableOf } from './rows.js'

/** Without a word of the peer for so long the oldest message is said again: its acknowledgement may have found no pad. */
const UNHEARD_MS = 1_000

/** Messages with an effect that both stores must share. */
export type Sequenced = { [N in MessageName]: Body<N> extends { seq: number } ? N : never }[MessageName]

interface Entry { readonly name: MessageName, readonly body: object, readonly seq: number }

/**
 * Messages that the peer must process, each once and in order: written in the transaction of their effect, sent when that is on
 * disk, and again over each new connection until they are acknowledged. What a connection has taken arrives over it or ends it, so
 * nothing is said twice over one but the oldest, which asks for a lost acknowledgement: each message costs a pad.
 */
export class Outbox {
  private acknowledged: number
  /** What is not on disk the peer must not see: after a power cut it would remember more of this store than the store itself. */
  private durableTo: number
  /** This connection has taken these and all before them. */
  private takenTo = 0
  /** When the peer was last heard, or the oldest was said. */
  private heardMs = 0

  constructor (private readonly core: PoolCore) {
    this.acknowledged = this.durableTo = core.meta.lastSent
    for (const { seq } of this.entries(0)) { this.acknowledged = seq - 1; break }
  }

  /** Messages up to this number are done with. */
  get acknowledgedTo (): number { return this.acknowledged }
  /** Of these the peer has said so: what a void dropped it need not have seen. */
  get heardTo (): number { return this.acknowledged > (this.core.meta.droppedTo ?? 0) ? this.acknowledged : 0 }
  get size (): number { return this.core.meta.lastSent - this.acknowledged }
  private get next (): number { return Math.max(this.takenTo, this.acknowledged) + 1 }

  /** Queues a message in the transaction of its effect. @returns its number. */
  add<N extends Sequenced> (tx: KvWriter, name: N, body: Omit<Body<N>, 'seq' | 'first'>): number {
    const seq = ++this.core.meta.lastSent
    const whole = { ...body, seq, first: false } as Body<N>
    tx.put(outboxKey(this.core.pool, seq), encodeRow({ name, body: whole }))
    this.core.durable(() => { this.stored({ name, body: whole, seq }) })
    return seq
  }

  private stored (entry: Entry): void {
    this.durableTo = Math.max(this.durableTo, entry.seq)
    if (this.core.ready && entry.seq === this.next) this.give(entry) // Else one before it waits for a pad, or for room.
  }

  /** A new connection: what was given to the one before may be lost. */
  begin (): void {
    this.takenTo = 0
    this.sendRest()
  }

  /** What this connection has not taken: there was no pad, or no room. */
  sendRest (): void {
    if (this.next > this.durableTo) return
    this.core.together(() => { for (const entry of this.entries(this.next)) if (entry.seq > this.durableTo || !this.give(entry)) return })
  }

  tick (): void {
    this.sendRest()
    const { core } = this
    if (this.takenTo <= this.acknowledged || core.deps.clock.monoMs() - this.heardMs < UNHEARD_MS) return
    for (const entry of this.entries(this.acknowledged + 1)) { this.say(entry); return }
  }

  private give (entry: Entry): boolean {
    if (!this.say(entry)) return false
    this.takenTo = entry.seq
    return true
  }

  /** @returns false when the channel did not take it. */
  private say ({ name, body, seq }: Entry): boolean {
    const first = seq === this.acknowledged + 1
    if (first) this.heardMs = this.core.deps.clock.monoMs()
    return this.core.channel?.send(name, { ...body, first }) === 'sent'
  }

  private * entries (from: number): Iterable<Entry> {
    const { deps, pool } = this.core
    for (const { key, value } of deps.kv.range({ start: outboxKey(pool, from), end: tableOf('outbox', pool).end })) {
      const { name, body } = decodeRow<{ name: MessageName, body: object }>(value)
      yield { name, body, seq: key[2] as number }
    }
  }

  /** The peer says that it has processed these, and that this is on its disk. Inside a commit. */
  drop (tx: KvWriter, upTo: number): void {
    const { deps, pool } = this.core
    this.acknowledged = Math.max(this.acknowledged, upTo)
    this.heardMs = deps.clock.monoMs()
    for (const key of deps.kv.keys({ start: outboxKey(pool, 0), end: outboxKey(pool, upTo + 1) })) tx.remove(key)
  }

  /** The pool is void, and all that is queued speaks of nothing. Inside a commit. */
  void (tx: KvWriter): void {
    const { meta } = this.core
    this.drop(tx, meta.lastSent)
    meta.droppedTo = meta.lastSent
  }
}
