import type { SaeId } from '../kernel/ids.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { offeredKey, readCount, writeCount, type CutKey, type GrantAssociation, type OfferedRow } from './grant-rows.js'
import type { PadPlace } from './relay-access.js'
import { decodeRow, putRow, tableOf } from './rows.js'
import type { KeyTraits } from './traits.js'

/** Why the other KME has not taken a grant: it refuses its SAEs, cannot take more; or the grant is over. */
export type GrantFault = 'refused' | 'full' | 'void'
/** The same, or it cannot be reached. */
export type OfferFault = GrantFault | 'away'

export interface Offer {
  /** Pool of which the keys were cut. */
  readonly source: string
  readonly master: string, readonly slaves: readonly string[], readonly traits: KeyTraits
  /** All slaves of the request, and the association in `source`. */
  readonly audience: readonly string[], readonly association: GrantAssociation
  readonly sizeBytes: number
  /** 16 bytes for each key; copied. */
  readonly ids: Uint8Array
  /** Where the keys lie in the lane of `source`; in one grant of a request. */
  readonly cut: readonly CutKey[]
  /** Where the pads of `data` lie in our lane of this pool: spent on disk. */
  readonly pads: readonly PadPlace[]
  /** The keys under their pads, each in whole units of 8 bytes. */
  readonly data: Uint8Array
}

const idsIn = ({ ids }: OfferedRow): string[] => Buffer.from(ids.buffer, ids.byteOffset, ids.length).toString('hex').match(/.{32}/g) ?? []

/** Grants that the other KME has not acknowledged. */
export const OFFERS_MAX = 64
/** Grants that can still be taken back; at the bound the oldest goes, and its slaves keep what they were given. */
const ROWS_MAX = 65_536
/** A refusal of the other KME is believed for so long: no key is burned to hear it again. */
const REFUSED_MS = 5_000
const REFUSALS_MAX = 1_024
/** How long after `fetch_ttl` a given grant is remembered: the other KME's clock runs by itself. */
const MARGIN_MS = 600_000

const audienceOf = (master: string, slaves: readonly string[]): string => [master, ...slaves].join('\n')

/**
 * Named grants that we send over one pool. A row is on disk before a grant leaves, and goes only when the grant is taken back or can no
 * longer be fetched: so whatever this KME dies of, an undecided grant is taken back at its next start.
 */
export class NamedOffers {
  private last: number
  /** The last number of earlier starts. */
  private readonly before: number
  /** Nothing of earlier starts is undecided any more: no number below `before` is offered again. */
  private isRecovered = false
  private readonly rows = new Map<number, OfferedRow>()
  private readonly waiting = new Map<number, (fault: OfferFault | '') => void>()
  private readonly refusedMs = new Map<string, number>()

  constructor (private readonly core: PoolCore) {
    this.last = this.before = readCount(core.deps.kv, core.pool, 'given')
    for (const { key, value } of core.deps.kv.range(tableOf('offered', core.pool))) this.rows.set(key[2] as number, decodeRow<OfferedRow>(value))
  }

  get hasRoom (): boolean { return this.waiting.size < OFFERS_MAX }

  /** The other KME refused these SAEs a moment ago. */
  refusedLately (master: string, slaves: readonly string[]): boolean {
    return this.core.deps.clock.monoMs() - (this.refusedMs.get(audienceOf(master, slaves)) ?? -Infinity) < REFUSED_MS
  }

  /**
   * Sends a grant, once its row is on disk. `then` hears once, later: '' when the other KME has it on disk, or why it has not; nothing after
   * a `withdraw`. @returns its number.
   */
  offer (offer: Offer, then: (fault: OfferFault | '') => void): number {
    const { core } = this
    const { source, master, slaves, audience, association: { generation, number: of }, traits, sizeBytes, cut, pads, data } = offer, ids = offer.ids.slice()
    const number = ++this.last
    const row: OfferedRow = { state: 'offered', source, master, slaves, audience, association: { generation, number: of }, ids, cut, bornMs: core.deps.ageMs(), bornWallMs: core.deps.clock.wallMs() }
    core.commit((tx) => {
      writeCount(tx, core.pool, 'given', number)
      this.put(tx, number, row)
      if (this.rows.size > ROWS_MAX) this.dropOldest(tx)
    })
    this.waiting.set(number, then)
    core.durable(() => {
      if (!this.waiting.has(number)) return
      const keys = Array.from({ length: ids.length / 16 }, (_, i) => ids.subarray(i * 16, i * 16 + 16))
      if (!core.send('namedGrant', { number, master, slaves: [...slaves], relayed: traits.route === 'relayed', paths: traits.paths, hybrid: traits.hybrid, sizeBytes, keys, pads: [...pads], data })) this.end(number, 'away')
    })
    return number
  }

  onAck (body: Body<'namedGrantAck'>): void {
    const row = this.rows.get(body.number)
    if (row === undefined) return // Taken back meanwhile: the other KME hears of that.
    if (body.fault === 'refused') {
      if (this.refusedMs.size >= REFUSALS_MAX) this.refusedMs.clear()
      this.refusedMs.set(audienceOf(row.master, row.slaves), this.core.deps.clock.monoMs())
    }
    this.end(body.number, body.fault)
  }

  private end (number: number, fault: OfferFault | ''): void {
    const then = this.waiting.get(number)
    this.waiting.delete(number)
    then?.(fault)
  }

  /** Grants that an earlier start left undecided: their master was never answered. The keys are burned where they were cut, then these are withdrawn. */
  undecided (): [number, OfferedRow][] { return [...this.rows].filter(([number, row]) => row.state === 'offered' && number <= this.before) }

  has (number: number): boolean { return this.rows.has(number) }

  /** Every KME has its grant: from this transaction on the keys are the slaves'. */
  given (tx: KvWriter, number: number): void {
    const row = this.rows.get(number)
    if (row !== undefined) this.put(tx, number, { ...row, state: 'given', cut: [] })
  }

  /** Takes grants back: the other KME erases what it has of them, now or when it hears of it, and takes nothing of them that comes later. */
  withdraw (numbers: readonly number[]): void {
    const { core } = this
    const mine = numbers.filter((n) => this.rows.has(n))
    for (const n of numbers) this.waiting.delete(n)
    if (mine.length > 0) core.commit((tx) => { this.takeBack(tx, mine) })
  }

  private takeBack (tx: KvWriter, numbers: readonly number[]): void {
    for (const n of numbers) this.remove(tx, n)
    for (let at = 0; at < numbers.length; at += 256) this.core.enqueue(tx, 'namedGrantEnd', { numbers: numbers.slice(at, at + 256), cut: [] })
  }

  /** Takes back what `which` says: an operator's void by SAE or key, or keys of a pool that is void. @returns how many grants. */
  void (which: (row: OfferedRow) => boolean): number {
    const numbers = this.numbersOf(which)
    if (numbers.length > 0) this.core.commit((tx) => { this.endAll(tx, numbers) })
    return numbers.length
  }

  /** The same inside a commit. @returns how many keys. */
  voidIn (tx: KvWriter, which: (row: OfferedRow) => boolean): number {
    const numbers = this.numbersOf(which)
    const keys = numbers.reduce((sum, n) => sum + this.rows.get(n)!.ids.length / 16, 0)
    if (numbers.length > 0) this.endAll(tx, numbers)
    return keys
  }

  /** The master is gone for good: its keys are taken back at further KMEs, as its associations end at the first. */
  removeMaster (sae: SaeId): void { this.void((row) => row.master === sae) }

  /** Those of the key IDs (16 bytes, hex) that were granted over this pool. */
  granted (ids: ReadonlySet<string>): string[] { return [...this.rows.values()].flatMap((row) => idsIn(row).filter((id) => ids.has(id))) }

  /** The other KME has made these keys void (16 bytes, hex): requests whose keys are not the master's yet fail. Inside a commit. */
  voidUndecided (tx: KvWriter, ids: ReadonlySet<string>): void { this.voidIn(tx, (row) => row.state === 'offered' && idsIn(row).some((id) => ids.has(id))) }

  /** Key IDs (16 bytes, hex) of what `which` says. */
  idsOf (which: (row: OfferedRow) => boolean): string[] { return [...this.rows.values()].filter(which).flatMap(idsIn) }

  keysOf (which: (row: OfferedRow) => boolean): number { return this.numbersOf(which).reduce((sum, n) => sum + this.rows.get(n)!.ids.length / 16, 0) }

  private numbersOf (which: (row: OfferedRow) => boolean): number[] { return [...this.rows].filter(([, row]) => which(row)).map(([number]) => number) }

  private endAll (tx: KvWriter, numbers: readonly number[]): void {
    const told = numbers.flatMap((n) => this.waiting.get(n) ?? [])
    for (const n of numbers) this.waiting.delete(n)
    this.takeBack(tx, numbers)
    if (told.length > 0) this.core.durable(() => { for (const then of told) then('void') })
  }

  /** The channel is lost: what is not acknowledged will not be. */
  closed (): void { for (const number of [...this.waiting.keys()]) this.end(number, 'away') }

  /** Forgets grants that nobody can fetch any more. */
  expire (): void {
    const { core } = this
    const before = core.deps.ageMs() - core.deps.limits.fetchTtlMs - MARGIN_MS
    const old: number[] = []
    if (!this.isRecovered) this.withdraw(this.undecided().map(([number]) => number)) // Of a pool that came back after the key service was made.
    this.isRecovered = true
    for (const [number, row] of this.rows) {
      if (row.bornMs >= before) break // In order of their numbers.
      if (row.state === 'given') old.push(number)
    }
    if (old.length > 0) core.commit((tx) => { for (const n of old) this.remove(tx, n) })
  }

  /** This pool is void, here and at the other KME, and its grants with it. Inside a commit. */
  clear (tx: KvWriter): void {
    for (const n of [...this.rows.keys()]) this.remove(tx, n)
    this.core.durable(() => { for (const number of [...this.waiting.keys()]) this.end(number, 'void') })
  }

  private put (tx: KvWriter, number: number, row: OfferedRow): void {
    this.rows.set(number, row)
    putRow(tx, offeredKey(this.core.pool, number), row)
  }

  private remove (tx: KvWriter, number: number): void {
    this.rows.delete(number)
    tx.remove(offeredKey(this.core.pool, number))
  }

  private dropOldest (tx: KvWriter): void {
    for (const [number, row] of this.rows) if (row.state === 'given') { this.remove(tx, number); return }
  }
}
