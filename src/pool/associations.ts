import type { SaeId } from '../kernel/ids.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { SLAVES_MAX } from './claims.js'
import type { PoolCore } from './core.js'
import { LAST_EPOCH } from './number-ranges.js'
import { associationKey, decodeRow, putRow, tableOf, type AssociationRow, type Direction } from './rows.js'

const sorted = (saes: readonly SaeId[]): string => saes.length === 0 ? '' : saes.length === 1 ? saes[0]! : [...saes].sort().join('\n')
/** SAE IDs hold no control characters, so that this is unambiguous; made on each request, so it must be cheap. */
const nameOf = (master: SaeId, slaves: readonly SaeId[], local: readonly SaeId[]): string => `${master}\t${sorted(slaves)}\t${sorted(local)}`
/** Where an association with one slave is found by master and slave. */
const pairOf = ({ slaves, local }: AssociationRow): 'slaves' | 'local' | undefined =>
  slaves.length === 1 && local.length === 0 ? 'slaves' : slaves.length === 0 && local.length === 1 ? 'local' : undefined
const idOf = (generation: number, number: number): number => generation * 0x10000 + number

/** A refusal of the other KME is believed for so long before the same number is offered again. */
const REFUSED_MS = 5_000
const OFFERED_MS = 1_000
const WAITING_MAX = 256
/** Number spaces that a peer may use at a time: one for each live ID epoch, and the next. */
const BASES_MAX = 8
const NOT_ALLOWED = 'the slave SAE is not allowed at its KME'

export type Opened = (row: AssociationRow | string) => void

/**
 * A master and its slaves, opened once between the two KMEs, with a number that goes into each key ID (design 4). Numbers
 * belong to the master's KME; none is used again within its generation of ID epochs; a removed one stays as a tombstone.
 */
export class Associations {
  private readonly rows: Record<Direction, Map<number, AssociationRow>> = { out: new Map(), in: new Map() }
  private readonly bases: Record<Direction, Set<number>> = { out: new Set(), in: new Set() }
  private readonly byName = new Map<string, AssociationRow>()
  /** Those of `byName` with one slave, by master and slave: what nearly every request asks for, without making its name. */
  private readonly byPair = { slaves: new Map<SaeId, Map<SaeId, AssociationRow>>(), local: new Map<SaeId, Map<SaeId, AssociationRow>>() }
  /** By master: slaves beside it at its own KME, of associations that have slaves elsewhere, too. */
  private readonly beside = new Map<SaeId, Set<SaeId>>()
  private readonly perMaster = new Map<SaeId, number>()
  private readonly offeredMs = new Map<number, number>()
  private readonly refusedMs = new Map<number, number>()
  private readonly waiting = new Map<number, Opened[]>()

  constructor (private readonly core: PoolCore, private readonly alone: boolean, private readonly onUsedUp: () => void) {
    for (const direction of ['out', 'in'] as const) {
      for (const { value } of core.deps.kv.range(tableOf('association', core.pool, direction))) this.index(direction, decodeRow<AssociationRow>(value))
    }
  }

  private index (direction: Direction, row: AssociationRow): void {
    this.rows[direction].set(idOf(row.generation, row.number), row)
    this.bases[direction].add(row.generation)
    if (direction !== 'out') return
    if (row.slaves.length > 0) for (const sae of row.local) this.putBeside(row.master, sae)
    const name = nameOf(row.master, row.slaves, row.local)
    if (row.state !== 'removed' && row.state !== 'void') {
      if (!this.byName.has(name)) this.perMaster.set(row.master, (this.perMaster.get(row.master) ?? 0) + 1)
      this.byName.set(name, row)
      this.indexPair(row)
    }
  }

  private putBeside (master: SaeId, slave: SaeId): void {
    let slaves = this.beside.get(master)
    if (slaves === undefined) this.beside.set(master, slaves = new Set())
    slaves.add(slave)
  }

  /** Whether a slave here may own keys of a master here in this pool's lane, because other slaves of them are elsewhere. */
  isBeside (master: SaeId, slave: SaeId): boolean { return this.beside.get(master)?.has(slave) === true }

  find (direction: Direction, generation: number, number: number): AssociationRow | undefined { return this.rows[direction].get(idOf(generation, number)) }

  /** Associations that are open or offered, with this SAE as master. */
  countOf (master: SaeId): number { return this.perMaster.get(master) ?? 0 }

  /** Whether any association has slaves here at the master's own KME: they fetch from our own lane. */
  get hasLocal (): boolean {
    for (const row of this.byName.values()) if (row.local.length > 0) return true
    return false
  }

  /** The association of a key ID: its number counts in the space that was in force at the block's epoch. */
  ofKey (direction: Direction, epoch: number, number: number): AssociationRow | undefined {
    let best = 0
    for (const base of this.bases[direction]) if (base <= epoch && base > best) best = base
    return this.find(direction, best, number)
  }

  /** An open association of this generation, without waiting. */
  ready (master: SaeId, slaves: readonly SaeId[], local: readonly SaeId[], generation: number): AssociationRow | undefined {
    const row = slaves.length === 1 && local.length === 0
      ? this.byPair.slaves.get(master)?.get(slaves[0]!)
      : slaves.length === 0 && local.length === 1 ? this.byPair.local.get(master)?.get(local[0]!) : this.byName.get(nameOf(master, slaves, local))
    return row?.state === 'open' && row.generation === generation ? row : undefined
  }

  /** Opens an association, or joins one that is being opened. `then` gets the row, or the reason why not. */
  open (master: SaeId, slaves: readonly SaeId[], local: readonly SaeId[], generation: number, then: Opened): void {
    const { core } = this
    const name = nameOf(master, slaves, local)
    let row = this.byName.get(name)
    if (row?.generation === generation && row.state === 'open') { then(row); return }
    if (row?.generation === generation && row.state === 'refused') {
      if (core.deps.clock.monoMs() - (this.refusedMs.get(idOf(generation, row.number)) ?? -Infinity) < REFUSED_MS) { then(NOT_ALLOWED); return }
      this.offerAgain(row)
    } else if (row?.generation !== generation) {
      const refused = this.refuse(master, slaves, local)
      if (refused !== '') { then(refused); return }
      row = this.create(master, [...slaves], [...local], generation)
    }
    const id = idOf(row.generation, row.number)
    if (!this.alone && slaves.length > 0) this.offerIfLost(row)
    if (this.alone || slaves.length === 0) {
      const opened = row
      core.durable(() => { opened.state = 'open'; then(opened) })
      return
    }
    const waiting = this.waiting.get(id) ?? []
    if (waiting.length >= WAITING_MAX) { then('too many requests wait for this association'); return }
    this.waiting.set(id, [...waiting, then])
  }

  /** An offer whose answer was lost, by a crash or a broken connection, is made again. */
  private offerIfLost (row: AssociationRow): void {
    const id = idOf(row.generation, row.number)
    const now = this.core.deps.clock.monoMs()
    if (row.state !== 'offered' || now - (this.offeredMs.get(id) ?? -Infinity) < OFFERED_MS) return
    this.offeredMs.set(id, now)
    this.offerAgain(row)
  }

  private offerAgain (row: AssociationRow): void {
    const { core } = this
    core.commit((tx) => {
      row.state = 'offered'
      putRow(tx, associationKey(core.pool, 'out', row.generation, row.number), row)
      core.enqueue(tx, 'association', { number: row.number, epoch: row.generation, master: row.master, slaves: row.slaves, removed: false })
    })
  }

  private refuse (master: SaeId, slaves: readonly SaeId[], local: readonly SaeId[]): string {
    const { core } = this
    if (slaves.length > SLAVES_MAX || local.length > SLAVES_MAX) return 'too many slave SAEs'
    if ((this.perMaster.get(master) ?? 0) >= core.deps.limits.associationsPerSae) return 'too many associations of this SAE'
    if (core.meta.nextAssociation > core.deps.limits.associationsPerEpoch) {
      this.onUsedUp()
      return 'association numbers are used up: a new ID epoch is being made'
    }
    return ''
  }

  private create (master: SaeId, slaves: SaeId[], local: SaeId[], generation: number): AssociationRow {
    const { core } = this
    return core.commit((tx) => {
      const row: AssociationRow = { number: core.meta.nextAssociation++, generation, master, slaves, local, state: 'offered' }
      // One without another KME is open when its row is on disk (see `open`).
      const lonely = this.alone || slaves.length === 0
      putRow(tx, associationKey(core.pool, 'out', generation, row.number), lonely ? { ...row, state: 'open' } : row)
      if (!lonely) core.enqueue(tx, 'association', { number: row.number, epoch: generation, master, slaves, removed: false })
      this.index('out', row)
      this.offeredMs.set(idOf(generation, row.number), core.deps.clock.monoMs())
      return row
    })
  }

  /** The master's KME wants to open or remove an association with our slaves. Our own policy decides. */
  onAssociation (tx: KvWriter, body: Body<'association'>): Body<'associationAck'> {
    const { core } = this
    let row = this.find('in', body.epoch, body.number)
    if (row !== undefined && (row.master !== body.master || row.slaves.join('\n') !== body.slaves.join('\n'))) throw core.protocol(`association ${body.number} is used again for other SAEs`)
    if (row === undefined || row.state === 'refused') {
      if (!this.bases.in.has(body.epoch)) {
        if (this.bases.in.size >= BASES_MAX) this.forgetOld(tx)
        if (this.bases.in.size >= BASES_MAX || body.epoch > (core.proposer ? LAST_EPOCH / 2 : LAST_EPOCH + 1)) throw core.protocol(`associations of ID epoch ${body.epoch}`)
        // Of the epochs before, a new store has heard nothing if they were void already: the next one must be one that these numbers wait for.
        core.meta.highestEpoch = Math.max(core.meta.highestEpoch, body.epoch - 1)
      }
      const reason = body.slaves.length > SLAVES_MAX ? 'too many slave SAEs' : core.deps.admit(body.master, body.slaves)
      row = { number: body.number, generation: body.epoch, master: body.master, slaves: [...body.slaves], local: [], state: reason === '' ? 'open' : 'refused' }
      this.index('in', row)
    }
    if (body.removed && row.state !== 'void') row.state = 'removed'
    putRow(tx, associationKey(core.pool, 'in', row.generation, row.number), row)
    return { number: row.number, epoch: row.generation, accepted: row.state === 'open', reason: row.state === 'refused' ? 'not allowed there' : '' }
  }

  /** Numbers have begun anew often: those of the other side's masters under which no block can name a key any more go. */
  private forgetOld (tx: KvWriter): void {
    const { core } = this, { bases: { in: bases }, rows: { in: rows } } = this
    let oldest = core.meta.highestEpoch
    for (const block of core.blocks.values()) if (block.purpose === 'app') oldest = Math.min(oldest, block.epoch)
    const kept = Math.max(...[...bases].filter((base) => base <= oldest), 0)
    for (const [id, row] of rows) {
      if (row.generation >= kept) continue
      rows.delete(id)
      tx.remove(associationKey(core.pool, 'in', row.generation, row.number))
    }
    for (const base of bases) if (base < kept) bases.delete(base)
  }

  onAck (body: Body<'associationAck'>): void {
    const { core } = this
    const row = this.find('out', body.epoch, body.number)
    if (row === undefined || row.state === 'removed' || row.state === 'void') return
    core.commit((tx) => {
      row.state = body.accepted ? 'open' : 'refused'
      putRow(tx, associationKey(core.pool, 'out', row.generation, row.number), row)
    })
    const id = idOf(row.generation, row.number)
    if (!body.accepted) this.refusedMs.set(id, core.deps.clock.monoMs())
    const waiting = this.waiting.get(id) ?? []
    this.waiting.delete(id)
    core.durable(() => { for (const then of waiting) then(body.accepted ? row : NOT_ALLOWED) })
  }

  /** An SAE is gone: its associations become tombstones on both sides; their numbers are not used again. */
  removeSae (sae: SaeId): void {
    const { core } = this
    const rows = [...this.byName.values()].filter((r) => r.master === sae || r.slaves.includes(sae) || r.local.includes(sae))
    if (rows.length === 0) return
    core.commit((tx) => {
      for (const row of rows) {
        row.state = 'removed'
        this.unname(row)
        putRow(tx, associationKey(core.pool, 'out', row.generation, row.number), row)
        if (!this.alone && row.slaves.length > 0) core.enqueue(tx, 'association', { number: row.number, epoch: row.generation, master: row.master, slaves: row.slaves, removed: true })
      }
    })
  }

  /** Associations with this SAE that some key may still be fetched of; those of a generation before the last two have no keys. */
  ofSae (sae: SaeId): { direction: Direction, row: AssociationRow }[] {
    return (['out', 'in'] as const).flatMap((direction) => [...this.rows[direction].values()]
      .filter((r) => (r.state === 'open' || r.state === 'offered') && (r.master === sae || r.slaves.includes(sae) || r.local.includes(sae)))
      .map((row) => ({ direction, row })))
  }

  /** No key of this association is given to a slave any more, and none is made: the next request opens another. Inside a commit. @returns false if there is none. */
  void (tx: KvWriter, direction: Direction, generation: number, number: number): boolean {
    const row = this.find(direction, generation, number)
    if (row === undefined || row.state === 'void' || row.state === 'removed') return false
    row.state = 'void'
    putRow(tx, associationKey(this.core.pool, direction, generation, number), row)
    if (direction === 'in') return true
    if (this.byName.get(nameOf(row.master, row.slaves, row.local)) === row) this.unname(row)
    const waiting = this.waiting.get(idOf(generation, number)) ?? []
    this.waiting.delete(idOf(generation, number))
    this.core.durable(() => { for (const then of waiting) then('the keys of this association are void: ask again') })
    return true
  }

  /** The pool is void: no ID of any association opens any more. Inside a commit. */
  clear (tx: KvWriter): void {
    for (const direction of ['out', 'in'] as const) {
      for (const row of this.rows[direction].values()) tx.remove(associationKey(this.core.pool, direction, row.generation, row.number))
      this.rows[direction].clear()
      this.bases[direction].clear()
    }
    for (const waiting of this.waiting.values()) for (const then of waiting) then('the pool was voided')
    this.waiting.clear()
    this.byName.clear()
    this.byPair.slaves.clear()
    this.byPair.local.clear()
    this.beside.clear()
    this.perMaster.clear()
    this.refusedMs.clear()
  }

  private indexPair (row: AssociationRow): void {
    const kind = pairOf(row)
    if (kind === undefined) return
    let slaves = this.byPair[kind].get(row.master)
    if (slaves === undefined) this.byPair[kind].set(row.master, slaves = new Map())
    slaves.set(row[kind][0]!, row)
  }

  private unname (row: AssociationRow): void {
    const kind = pairOf(row)
    if (kind !== undefined) {
      const slaves = this.byPair[kind].get(row.master)
      slaves?.delete(row[kind][0]!)
      if (slaves?.size === 0) this.byPair[kind].delete(row.master)
    }
    if (this.byName.delete(nameOf(row.master, row.slaves, row.local))) this.perMaster.set(row.master, (this.perMaster.get(row.master) ?? 1) - 1)
  }
}
