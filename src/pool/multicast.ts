import { uuidText } from '../device/formats/uuid.js'
import { CUT_INSUFFICIENT, CUT_TAKEN, KEY_ID_FIELDS, PAD_TAKEN, takenBlock, type BlockHandle } from '../device/native.js'
import type { SaeId } from '../kernel/ids.js'
import type { Cancel } from '../kernel/time.js'
import { keyMembers } from './describe.js'
import type { KeyPool } from './key-pool.js'
import type { CutKey } from './grant-rows.js'
import { unitOf, type NamedGrants } from './named-grants.js'
import type { OfferFault } from './named-offers.js'
import { append, PADS_MAX } from './pad-places.js'
import { refusals } from './refusals.js'
import type { PadPlace } from './relay-access.js'
import type { AssociationRow } from './rows.js'
import type { EncKeysRequest, KeyReply, Refusal } from './service.js'
import type { ServiceDeps } from './service-ports.js'
import { weakest } from './traits.js'

/** A KME beyond the first one whose SAEs get the keys, and the pool with it. */
export interface Further { readonly pool: KeyPool, readonly named: NamedGrants, readonly slaves: readonly SaeId[] }

export interface MulticastJob {
  readonly request: EncKeysRequest, readonly reply: KeyReply
  /** The keys are cut from this pool, under this association: with the KME of the first slave that is not served here. */
  readonly pool: KeyPool, readonly association: AssociationRow
  readonly further: readonly Further[]
}

/** Where the keys of an answer lie, and how they are taken back at the further KMEs. */
export interface Sent { readonly block: number, readonly place: number, readonly takeBack: () => void }

/** From the question to the answer of the last KME. */
export const GRANTS_MS = 2_000
const UNDER_WAY_MAX = 64
/** Frames of 3968 bytes that keys of all requests under way may hold in the arena. */
const HELD_FRAMES_MAX = 128
const FRAME_BYTES = 3_968
const TAIL_BYTES = 48
/** Keys of one request, in whole units of 8 bytes: what the vault holds in one piece. */
export const MULTICAST_BYTES_MAX = 16 * FRAME_BYTES - TAIL_BYTES

interface Cast extends MulticastJob {
  readonly sizeBytes: number, readonly bytes: number, readonly frames: number
  cancel: Cancel
  isOver: boolean
  held: BlockHandle | undefined
  readonly ids: Uint8Array
  /** What the cut told. */
  readonly taken: Uint32Array
  /** Numbers of the grants, and of those that no answer has come for. */
  readonly grants: Map<Further, number>
  readonly open: Set<Further>
}

const scratch = new Uint32Array(PAD_TAKEN)

/**
 * Keys for slaves at several other KMEs (docs/multicast.md): cut once, held in the vault, padded and sent to each further KME, and
 * given to the master when all have them on disk. All or nothing: whatever fails, the keys and pads are burned, and every KME that may
 * have a grant is told so through the outbox.
 */
export class Multicast {
  private readonly casts = new Set<Cast>()
  private heldFrames = 0

  /** @param out For answers. @param sent Books an answer; returns its number in the audit trail. */
  constructor (private readonly deps: ServiceDeps, private readonly out: Uint8Array, private readonly sent: (job: MulticastJob, sent: Sent) => number) {}

  /** Everything about the request but the further KMEs is checked. Replies once, at the latest after `GRANTS_MS`. */
  begin (job: MulticastJob): void {
    const { request, further, reply } = job
    const sizeBytes = request.sizeBits >>> 3, bytes = request.number * unitOf(sizeBytes)
    const frames = Math.ceil((bytes + TAIL_BYTES) / FRAME_BYTES)
    const refusal = this.refusalOf(further, request, bytes, frames)
    if (refusal !== undefined) { reply.refuse(refusal); return }
    const cast: Cast = {
      ...job, sizeBytes, bytes, frames, cancel: () => {}, isOver: false, held: undefined, ids: new Uint8Array(16 * request.number),
      taken: new Uint32Array(CUT_TAKEN), grants: new Map(), open: new Set(),
    }
    this.casts.add(cast)
    this.heldFrames += frames
    cast.cancel = this.deps.clock.after(GRANTS_MS, () => { this.fail(cast, refusals.blocked(cast.held === undefined ? 'NO_KEYS' : 'PEER_DOWN')) })
    this.attempt(cast)
  }

  private refusalOf (further: readonly Further[], request: EncKeysRequest, bytes: number, frames: number): Refusal | undefined {
    if (bytes > MULTICAST_BYTES_MAX) return refusals.multicastSize(Math.floor(MULTICAST_BYTES_MAX / unitOf(request.sizeBits >>> 3)))
    if (this.casts.size >= UNDER_WAY_MAX || this.heldFrames + frames > HELD_FRAMES_MAX) return refusals.busy
    for (const { pool, named, slaves } of further) {
      const blocked = pool.blocked()
      if (blocked !== '' || !pool.core.ready) return refusals.blocked(blocked === '' ? 'PEER_DOWN' : blocked)
      if (named.offers.refusedLately(request.caller, slaves)) return refusals.unauthorized
      if (!named.offers.hasRoom) return refusals.busy
    }
    return undefined
  }

  // --- keys and pads ----------------------------------------------------------------------------------------------

  /** Waits until every lane has leased what is needed; then takes all of it in one step. */
  private attempt (cast: Cast): void {
    if (cast.isOver) return
    const again = (): void => { this.attempt(cast) }
    const blocked = cast.pool.blocked()
    if (blocked !== '') { this.fail(cast, refusals.blocked(blocked)); return }
    for (const { named } of cast.further) {
      if (!named.pads.isReady) { this.fail(cast, refusals.blocked('PEER_DOWN')); return } // It may have stopped, or gone, while we waited.
      if (named.pads.leasedBytes >= cast.bytes) continue
      if (named.pads.freeBytes < cast.bytes) { this.fail(cast, refusals.noKeys); return }
      named.pads.lease(cast.bytes, again)
      return
    }
    const { lane, core } = cast.pool
    try {
      const held = lane.cutWith(cast.request.number, cast.sizeBytes, cast.taken,
        (handle) => this.deps.vault.holdKeys(handle, cast.request.number, cast.sizeBytes, cast.association.number, cast.ids, cast.taken) || CUT_INSUFFICIENT)
      if (held === CUT_INSUFFICIENT) {
        if (lane.freeBytes(core.ready) < cast.bytes) this.fail(cast, refusals.noKeys)
        else lane.afterLease(again)
        return
      }
      cast.held = held as BlockHandle
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ARENA_FULL') throw error
      this.fail(cast, refusals.busy)
      return
    }
    this.send(cast, cast.held)
  }

  private send (cast: Cast, held: BlockHandle): void {
    const { request, pool, further, sizeBytes, ids } = cast
    const traits = weakest([pool.traits, ...further.map((f) => f.pool.traits)])
    const padded = further.map((f) => ({ f, data: new Uint8Array(cast.bytes), pads: [] as PadPlace[] }))
    for (const { f, data, pads } of padded) this.pad(f, held, data, pads)
    if (padded.some(({ pads }) => pads.length > PADS_MAX)) { this.fail(cast, refusals.noKeys); return } // A lane in crumbs.
    for (const { f } of padded) cast.open.add(f)
    for (const [i, { f, data, pads }] of padded.entries()) {
      const number = f.named.offers.offer({
        source: pool.core.pool, master: request.caller, slaves: f.slaves, audience: [request.slave, ...request.additionalSlaves], association: cast.association,
        traits, sizeBytes, ids, cut: i === 0 ? this.placesOf(cast) : [], pads, data,
      }, (fault) => { this.answered(cast, f, fault) })
      cast.grants.set(f, number)
    }
  }

  private pad ({ named }: Further, held: BlockHandle, data: Uint8Array, pads: PadPlace[]): void {
    for (let at = 0; at < data.length;) {
      const from = at, length = Math.min(data.length - at, named.pads.runBytes)
      named.pads.take(length, (lane) => { this.deps.vault.padHeld(lane, held, from, data.subarray(from, from + length), scratch) })
      append(pads, takenBlock(scratch), scratch[2]!, length)
      at += length
    }
    named.pads.settle()
  }

  // --- answers ------------------------------------------------------------------------------------------------------

  private answered (cast: Cast, f: Further, fault: OfferFault | ''): void {
    if (cast.isOver) return
    if (fault !== '') { this.fail(cast, refusalFor(fault)); return }
    cast.open.delete(f)
    if (cast.open.size === 0) this.decide(cast)
  }

  /** Every KME has its grant: from now on a crash of ours leaves all of them, and before it none. */
  private decide (cast: Cast): void {
    if (!this.isGood(cast)) { this.fail(cast, refusals.noKeys); return }
    try {
      this.deps.kv.transact((tx) => { for (const [{ named }, number] of cast.grants) named.offers.given(tx, number) })
    } catch (error) { this.deps.fatal(error); return }
    this.deps.kv.flushed().then(() => { this.answer(cast) }).catch((error: unknown) => { this.deps.fatal(error) })
  }

  /** What was true when the keys were cut still is: no pool of them was voided, no SAE removed, nothing stops. */
  private isGood ({ pool, association, grants }: Cast): boolean {
    return this.deps.accepting() && this.deps.audit.healthy() && pool.core.isServing && association.state === 'open' &&
      association.generation === pool.core.meta.generation && [...grants].every(([{ named }, number]) => named.offers.has(number))
  }

  private answer (cast: Cast): void {
    if (cast.isOver) return
    if (!this.isGood(cast) || cast.held === undefined) { this.fail(cast, refusals.noKeys); return }
    const { request, reply, pool, further, sizeBytes, held, ids } = cast
    const count = request.number, unit = unitOf(sizeBytes)
    const members = keyMembers(this.deps.details, weakest([pool.traits, ...further.map((f) => f.pool.traits)]), undefined)
    const length = this.deps.vault.serve(count, textOf(ids), new Uint32Array(count).fill(held), Uint32Array.from({ length: count }, (_, i) => i * unit), new Uint32Array(count).fill(sizeBytes), members, '', this.out)
    if (length < 0) throw new Error('invariant violated: the answer buffer holds the largest answer')
    this.end(cast)
    const delivery = this.sent(cast, { block: takenBlock(cast.taken), place: cast.taken[2]!, takeBack: () => { this.takeBack(cast) } })
    const json = this.out.subarray(0, length)
    try { reply.keys(json, delivery) } finally { this.deps.vault.wipe(json) }
  }

  private fail (cast: Cast, refusal: Refusal): void {
    if (cast.isOver) return
    const { request, pool, association, held, sizeBytes, taken, reply } = cast
    this.end(cast)
    if (held !== undefined) {
      this.takeBack(cast)
      pool.core.rebook('aborted', request.number * sizeBytes)
      this.deps.audit.record({
        kind: 'aborted', caller: request.caller, other: request.slave, association: association.number, block: takenBlock(taken), place: taken[2]!, sizeBytes, number: request.number,
      })
    }
    reply.refuse(refusal)
  }

  /** Nobody gets these keys at any KME. */
  private takeBack (cast: Cast): void {
    for (const [{ named }, number] of cast.grants) named.offers.withdraw([number])
    cast.pool.named?.burnCut(this.placesOf(cast))
  }

  /** Where the keys lie in the lane: their IDs say it. None if their ID keys are gone, as after a void: then nobody can name them. */
  private placesOf ({ request, pool, ids }: Cast): CutKey[] {
    const epochs = pool.epochs.live(), fields = new Uint32Array(request.number * KEY_ID_FIELDS)
    this.deps.vault.openKeyIds(Uint32Array.from(epochs, (e) => pool.epochs.key(e.epoch)), textOf(ids), request.number, fields)
    return Array.from({ length: request.number }, (_, i) => fields.subarray(i * KEY_ID_FIELDS)).filter(([epoch]) => epoch !== 0)
      .map(([epoch, block, place, length, association]) => ({ epoch: epochs[epoch! - 1]!.epoch, block: pool.epochs.blockOf(epochs[epoch! - 1]!, block!), place: place!, length: length!, association: association! }))
  }

  private end (cast: Cast): void {
    cast.isOver = true
    cast.cancel()
    this.casts.delete(cast)
    this.heldFrames -= cast.frames
    if (cast.held !== undefined) this.deps.vault.dropBlock(cast.held)
  }

  /** The store closes: what is under way is burned, as any failure. */
  stop (): void { for (const cast of [...this.casts]) this.fail(cast, refusals.stopping) }
}

/** Key IDs in one text, as the vault takes them. */
const textOf = (ids: Uint8Array): string => Array.from({ length: ids.length / 16 }, (_, i) => uuidText(ids.subarray(i * 16, i * 16 + 16))).join('')

const refusalFor = (fault: OfferFault): Refusal =>
  fault === 'refused' ? refusals.unauthorized : fault === 'away' ? refusals.blocked('PEER_DOWN') : fault === 'full' ? refusals.busy : refusals.noKeys
