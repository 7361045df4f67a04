import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'
import { encodeRow, getRow, holdKey } from './rows.js'

/** Pool: why, or ''. Links by number. */
interface Side { pool: string, links: number[] }
interface HoldRow { here: Side, there: Side }

const REASON_MAX = 200
const none = (): HoldRow => ({ here: { pool: '', links: [] }, there: { pool: '', links: [] } })

/**
 * What operators of either KME hold: the pool (no key is cut, served or relayed) and links (no key is taken). Durable, and told to the other
 * side as it stands now: when it changes and at each connection, so that nothing is lost, doubled or overtaken. Each side ends its own hold only.
 */
export class Holds {
  private readonly row: HoldRow
  /** A pool that was never held says nothing. */
  private isKnown: boolean
  private isTold = false

  /** @param links Of this pool: the other KME has no say over others. */
  constructor (private readonly core: PoolCore, private readonly links: readonly number[]) {
    const row = getRow<HoldRow>(core.deps.kv, holdKey(core.pool))
    this.isKnown = row !== undefined
    this.row = row ?? none()
    core.held = this.text()
  }

  get here (): string { return this.row.here.pool }
  get there (): string { return this.row.there.pool }
  /** Links that the other KME's operator holds. */
  get linksThere (): readonly number[] { return this.row.there.links }

  /** `reason` '' ends the hold of this KME. Durable when the store is flushed. */
  hold (reason: string): void { this.change(() => { this.row.here.pool = reason.slice(0, REASON_MAX) }) }

  holdLink (link: number, on: boolean): void {
    if (this.row.here.links.includes(link) === on) return
    this.change(() => { this.row.here.links = [...this.row.here.links.filter((l) => l !== link), ...on ? [link] : []] })
  }

  private change (make: () => void): void {
    make()
    this.store()
    this.isTold = false
    this.core.durable(() => { this.tell() })
  }

  private store (): void {
    const { core } = this, before = core.held
    core.held = this.text()
    this.isKnown = true
    core.commit((tx) => { tx.put(holdKey(core.pool), encodeRow(this.row)) })
    if (core.held !== before) core.deps.emit({ type: 'pool.held', reason: core.held })
  }

  private text (): string {
    const { here, there } = this.row
    return [here.pool, there.pool === '' ? '' : `${this.core.deps.remote} holds it: ${there.pool}`].filter((part) => part !== '').join('; ')
  }

  // --- the other side -------------------------------------------------------------------------------------------------

  ready (): void {
    this.isTold = false
    this.tell()
  }

  /** A message that found no pad goes out again. */
  tick (): void { if (!this.isTold) this.tell() }

  private tell (): void {
    const { here } = this.row
    if (this.isKnown && this.core.ready && !this.isTold) this.isTold = this.core.send('hold', { pool: here.pool, links: here.links })
  }

  onHold (body: Body<'hold'>): void {
    const { core } = this, { there } = this.row
    // The other side has been told something once, be it by a store of ours that was lost since: it hears what holds now.
    this.isKnown = true
    this.tell()
    const links = [...new Set(body.links)].filter((link) => this.links.includes(link))
    if (there.pool === body.pool && links.length === there.links.length && links.every((l) => there.links.includes(l))) return
    const changed = [...new Set([...links, ...there.links])].filter((l) => links.includes(l) !== there.links.includes(l))
    this.row.there = { pool: body.pool, links }
    this.store()
    core.security('peer.hold', body.pool === '' && links.length === 0 ? 'holds nothing any more' : `holds ${[body.pool === '' ? '' : `the pool (${body.pool})`, ...links.map((l) => `link ${l}`)].filter((x) => x !== '').join(', ')}`)
    core.durable(() => { for (const link of changed) core.deps.emit({ type: 'link.heldThere', link, held: links.includes(link) }) })
  }
}
