import { SimNode } from '../../sim/pool/node.js'
import { Answers } from '../../src/pool/answers.js'
import { Composition } from '../../src/pool/composition.js'
import { Claims } from '../../src/pool/claims.js'
import { Epochs } from '../../src/pool/epochs.js'
import { Greeting } from '../../src/pool/greeting.js'
import { Grants } from '../../src/pool/grants.js'
import { Outbox } from '../../src/pool/outbox.js'
import { OwnerLane } from '../../src/pool/owner-lane.js'
import { Pads } from '../../src/pool/pads.js'
import { Pool } from '../../src/pool/pool.js'
import { usableBytes, type BlockRow } from '../../src/pool/rows.js'
import { Proposals } from '../../src/pool/proposals.js'
import { Renewal } from '../../src/pool/renewal.js'
import { Startup } from '../../src/pool/startup.js'

/** Private members are reached by name. */
export type Any = any
export type Method = (...args: Any[]) => Any
/** Removes a rule of the engine. @returns puts it back. */
export type Removal = () => () => void

/** Replaces a method of a prototype by one made from it. @returns puts it back. */
export const patch = (prototype: object, name: string, make: (original: Method) => (this: Any, ...args: Any[]) => Any): (() => void) => {
  const target = prototype as Record<string, Method>
  const original = target[name]
  if (typeof original !== 'function') throw new Error(`there is no ${name} to remove a rule of`)
  target[name] = make(original)
  return () => { target[name] = original }
}
export const both = (...patches: (() => void)[]) => (): void => { for (const undo of patches) undo() }

/** The owner goes on at a cursor that both sides may use once more. */
export const strikesNoBye: Removal = () => both(
  patch(Startup.prototype, 'onResume', (f) => function (body) { const { meta } = this.core; const bye = meta.byeTheirs; f.call(this, body); this.core.commit(() => { meta.byeTheirs = bye }) }),
  patch(Startup.prototype, 'onResumeAck', (f) => function (body) { const { meta } = this.core; const { bye } = meta; f.call(this, body); this.core.commit(() => { meta.bye = bye }) }),
  patch(Startup.prototype, 'met', (f) => function (hello, voided) {
    const { meta, deps } = this.core
    f.call(this, hello, voided)
    if (meta.bye !== null) this.mayResume = !this.begun && !voided && hello.yours?.bye === meta.bye.number && Buffer.from(hello.yours.storeId).equals(deps.incarnation.storeId)
  }),
)

/** The owner spends of blocks that the looker may not have stored as opened. */
export const usesHorizonAtOnce: Removal = () => patch(OwnerLane.prototype, 'open', (f) => function (blocks) {
  const from = this.core.meta.horizonMine + 1
  f.call(this, blocks)
  this.onHorizonAck({ lane: 0, from, index: from + blocks.length - 1, refused: [] })
})

/** A store that is an old copy, and knows it by its stamp, goes on. */
export const trustsStamp: Removal = () => patch(SimNode.prototype, 'start', (f) => function () {
  this.rolledBack = ''
  this.hasLostLocalPool = false
  return f.call(this)
})

/** What the peer remembers of our store counts for nothing. */
export const forgetsPeersWord: Removal = () => both(
  patch(Greeting.prototype, 'judge', (f) => function (hello) {
    const verdict = f.call(this, hello)
    return ['rolledBack', 'peerRolledBack', 'refuse'].includes(verdict.kind) ? { kind: 'go' } : verdict
  }),
  patch(Greeting.prototype, 'merge', (f) => function (hello, voided) { f.call(this, { ...hello, yours: null }, voided) }),
)

/** Each grant comes again and again, and is taken each time. */
export const takesGrantsAgain: Removal = () => {
  const take: Method = Grants.prototype.onGrant
  return both(
    patch(Grants.prototype, 'onGrant', () => function (tx, body) { (this.bodies ??= []).push(body); return take.call(this, tx, body) }),
    patch(Grants.prototype, 'askIfDry', (f) => function () {
      for (const body of this.bodies ?? []) { // As if each message came again.
        this.core.meta.grantTaken = 0
        this.taken(this.core.commit((tx: Any) => take.call(this, tx, body)))
      }
      f.call(this)
    }),
  )
}

/** A message of the outbox is sent though one before it waits. */
export const sendsPastGaps: Removal = () => patch(Outbox.prototype, 'stored', (f) => function (entry) {
  const isNext = entry.seq === this.next
  f.call(this, entry)
  if (!isNext && this.core.ready) this.say(entry)
})

/** A message whose predecessor was lost is processed. */
export const takesGaps: Removal = () => patch(Pool.prototype, 'onSequenced', (f) => function (name, body, seq) { f.call(this, name, { ...body, first: true }, seq) })

/** What was claimed is given again. */
export const claimsNothing: Removal = () => patch(Claims.prototype, 'check', () => () => 'fresh')

/** After a crash the lane goes on at its oldest block. */
export const opensStayOpen: Removal = () => patch(Startup.prototype, 'beginAbove', () => function () {
  this.begun = true
  const opened = this.opened()
  if (opened.length > 0) this.lane.start.resume(opened, { index: Math.min(...opened.map((b: { index: number }) => b.index)), offset: 0 })
  this.core.durable(() => { this.begin?.() })
})

/** The two sides take blocks whose bytes they have not compared. */
export const confirmsAnyBytes: Removal = () => both(
  patch(Answers.prototype, 'answerTag', () => function (stored, m) { return this.agreed.withBytes(stored, (handle: Any) => this.core.deps.vault.confirmTag(handle, 2, m)) }),
  patch(Proposals.prototype, 'onConfirm', (f) => function (body) {
    const flight = this.flights.get(body.number)
    if (flight !== undefined && body.tag !== null) Object.assign(flight, { answerTag: body.tag })
    f.call(this, body)
  }),
)

/** Numbers of dead blocks come again. */
export const reusesNumbers: Removal = () => both(
  patch(Composition.prototype, 'compose', (f) => function (tx) {
    const { meta, blocks } = this.core
    const highest = meta.highestBlock
    let dead = 1
    while (dead <= highest && blocks.has(dead)) dead++
    meta.highestBlock = dead - 1
    const made: unknown = f.call(this, tx)
    meta.highestBlock = Math.max(highest, meta.highestBlock)
    return made
  }),
  patch(Answers.prototype, 'judge', (f) => function (tx, proposal) {
    const { meta } = this.core
    const highest = meta.highestBlock
    meta.highestBlock = 0
    try { return f.call(this, tx, proposal) } finally { meta.highestBlock = Math.max(highest, meta.highestBlock) }
  }),
)

/** Blocks of an older association space are cut. */
export const cutsOldSpaces: Removal = () => both(
  patch(OwnerLane.prototype, 'add', (f) => function (block) {
    const { meta } = this.core
    const { generation } = meta
    meta.generation = 0
    try { f.call(this, block) } finally { meta.generation = generation }
  }),
  patch(Renewal.prototype, 'begun', () => () => {}),
)

/** After a crash the lane goes on behind what its store says it leased. */
export const goesOnAtLease: Removal = () => patch(Startup.prototype, 'beginAbove', () => function () {
  const { core } = this, opened = this.opened().sort((x: BlockRow, y: BlockRow) => x.index - y.index)
  this.begun = true
  const front = opened.findLast((block: BlockRow) => block.spent > 0) ?? opened[0]
  const isAtEnd = front !== undefined && front.spent >= usableBytes(front)
  if (front !== undefined) this.lane.start.resume(opened, { index: front.index + (isAtEnd ? 1 : 0), offset: isAtEnd ? 0 : front.spent })
  core.durable(() => { this.begin?.() })
})

/** Leased bytes are cut before the lease is on disk. */
export const cutsUnflushed: Removal = () => patch(OwnerLane.prototype, 'lease', (f) => function (least) {
  const { core } = this
  core.durable = core.deps.soon
  try { f.call(this, least) } finally { delete core.durable }
})

/** Pads that a crash took count as left at the other side. */
export const saysNothingOfPads: Removal = () => both(
  patch(Greeting.prototype, 'make', (f) => function (generation) { return f.call(this, generation, this.core.meta.padMine) }),
  patch(Pads.prototype, 'met', (f) => function (hello, isVoid) { f.call(this, hello, isVoid); this.said = { block: 0, offset: 0 } }),
)

/** An epoch names as many blocks as come. */
export const namesOnAndOn: Removal = () => patch(Epochs.prototype, 'canName', () => function (epoch) { return this.rows.has(epoch) })

/** Of a block's number counts what stands in the key ID. */
export const forgetsHighBits: Removal = () => patch(Epochs.prototype, 'blockOf', () => function (_row, low) { return low })
