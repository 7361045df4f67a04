import { SimNode } from '../../sim/pool/node.js'
import { Agreement } from '../../src/pool/agreement.js'
import { Claims } from '../../src/pool/claims.js'
import { Greeting } from '../../src/pool/greeting.js'
import { Grants } from '../../src/pool/grants.js'
import { OwnerLane } from '../../src/pool/owner-lane.js'
import { Pool } from '../../src/pool/pool.js'
import { usableBytes, type BlockRow } from '../../src/pool/rows.js'
import { Startup } from '../../src/pool/startup.js'

/** Private members are reached by name. */
export type Any = any
export type Method = (...args: Any[]) => Any

/** A rule of the engine, and how to remove it. `seed` is a run of the model that notices; 0: none is known. */
export interface Mutant {
  readonly rule: string, readonly restores: boolean, readonly seed: number
  /** Another rule stands behind: it is removed first, which by itself this run does not notice. */
  readonly behind?: () => () => void
  readonly remove: () => () => void
}

/** Replaces a method of a prototype by one made from it. @returns puts it back. */
export const patch = (prototype: object, name: string, make: (original: Method) => (this: Any, ...args: Any[]) => Any): (() => void) => {
  const target = prototype as Record<string, Method>
  const original = target[name]!
  target[name] = make(original)
  return () => { target[name] = original }
}
export const both = (...patches: (() => void)[]) => (): void => { for (const undo of patches) undo() }

export const mutants: readonly Mutant[] = [
  {
    rule: 'both sides strike a bye before it is used', restores: false, seed: 23,
    remove: () => both(
      patch(Startup.prototype, 'onResume', (f) => function (body) { const { meta } = this.core; const bye = meta.byeTheirs; f.call(this, body); this.core.commit(() => { meta.byeTheirs = bye }) }),
      patch(Startup.prototype, 'onResumeAck', (f) => function (body) { const { meta } = this.core; const { bye } = meta; f.call(this, body); this.core.commit(() => { meta.bye = bye }) }),
      patch(Startup.prototype, 'met', (f) => function (hello, voided) {
        const { meta, deps } = this.core
        f.call(this, hello, voided)
        if (meta.bye !== null) this.mayResume = !this.begun && !voided && hello.yours?.bye === meta.bye.number && Buffer.from(hello.yours.storeId).equals(deps.incarnation.storeId)
      }),
    ),
  },
  {
    rule: 'the looker acknowledges a horizon before it is used', restores: false, seed: 34,
    remove: () => patch(OwnerLane.prototype, 'open', (f) => function (blocks) {
      const from = this.core.meta.horizonMine + 1
      f.call(this, blocks)
      this.onHorizonAck({ lane: 0, from, index: from + blocks.length - 1, refused: [] })
    }),
  },
  {
    rule: 'a store whose stamp is not its own voids its stock', restores: true, seed: 578,
    remove: () => patch(SimNode.prototype, 'start', (f) => function () {
      this.rolledBack = ''
      this.hasLostLocalPool = false
      return f.call(this)
    }),
  },
  {
    rule: 'what the peer remembers of a store counts, and a store that is behind it is void', restores: true, seed: 76,
    remove: () => both(
      patch(Greeting.prototype, 'judge', (f) => function (hello) {
        const verdict = f.call(this, hello)
        return verdict.kind === 'rolledBack' || verdict.kind === 'refuse' ? { kind: 'go' } : verdict
      }),
      patch(Greeting.prototype, 'merge', (f) => function (hello, voided) { f.call(this, { ...hello, yours: null }, voided) }),
    ),
  },
  {
    // Seed 549 noticed with an earlier engine.
    rule: 'a grant is taken once', restores: false, seed: 0,
    remove: () => {
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
    },
  },
  {
    rule: 'a gap in the outbox numbers waits', restores: false, seed: 23,
    remove: () => patch(Pool.prototype, 'onSequenced', (f) => function (name, body, seq) { f.call(this, name, { ...body, first: true }, seq) }),
  },
  {
    // After a crash every opened block is closed, so that the lease decides nothing: seen where a lane goes on behind what its store says it leased.
    rule: 'a lease is on disk before it is cut', restores: false, seed: 331,
    behind: () => patch(Startup.prototype, 'beginAbove', () => function () {
      const { core } = this, opened = this.opened().sort((x: BlockRow, y: BlockRow) => x.index - y.index)
      this.begun = true
      const front = opened.findLast((block: BlockRow) => block.spent > 0) ?? opened[0]
      const isAtEnd = front !== undefined && front.spent >= usableBytes(front)
      if (front !== undefined) this.lane.resume(opened, { index: front.index + (isAtEnd ? 1 : 0), offset: isAtEnd ? 0 : front.spent })
      core.durable(() => { this.begin?.() })
    }),
    remove: () => patch(OwnerLane.prototype, 'lease', (f) => function (least) {
      const { core } = this
      core.durable = core.deps.soon
      try { f.call(this, least) } finally { delete core.durable }
    }),
  },
  {
    rule: 'claims are checked', restores: false, seed: 2,
    remove: () => patch(Claims.prototype, 'check', () => () => 'fresh'),
  },
  {
    rule: 'a block that was open when its owner crashed is closed', restores: false, seed: 1,
    remove: () => patch(Startup.prototype, 'beginAbove', () => function () {
      this.begun = true
      const opened = this.opened()
      if (opened.length > 0) this.lane.resume(opened, { index: Math.min(...opened.map((b: { index: number }) => b.index)), offset: 0 })
      this.core.durable(() => { this.begin?.() })
    }),
  },
  {
    // Seed 540 noticed with an earlier engine.
    rule: 'confirmation tags are compared', restores: false, seed: 0,
    remove: () => both(
      patch(Agreement.prototype, 'answerTag', () => function (block, frames, m) { return this.withBytes(block, frames, (handle: Any) => this.core.deps.vault.confirmTag(handle, 2, m)) }),
      patch(Agreement.prototype, 'onConfirm', (f) => function (body) {
        const flight = this.flights.get(body.number)
        if (flight !== undefined && body.tag !== null) this.flights.set(body.number, { ...flight, answerTag: body.tag })
        f.call(this, body)
      }),
    ),
  },
  {
    rule: 'the number of a dead block is never used again', restores: false, seed: 13,
    remove: () => both(
      patch(Agreement.prototype, 'write', (f) => function (tx, plan) {
        const { meta, blocks } = this.core
        const highest = meta.highestBlock
        let dead = 1
        while (dead <= highest && (blocks.has(dead) || this.flights.has(dead))) dead++
        meta.highestBlock = dead - 1
        const block: unknown = f.call(this, tx, plan)
        meta.highestBlock = Math.max(highest, meta.highestBlock)
        return block
      }),
      patch(Agreement.prototype, 'onPropose', (f) => function (body) {
        const { meta } = this.core
        const highest = meta.highestBlock
        meta.highestBlock = 0
        try { f.call(this, body) } finally { meta.highestBlock = Math.max(highest, meta.highestBlock) }
      }),
    ),
  },
  {
    rule: 'blocks of an older association space are not cut', restores: false, seed: 1,
    remove: () => patch(OwnerLane.prototype, 'add', (f) => function (block) {
      const { meta } = this.core
      const { generation } = meta
      meta.generation = 0
      try { f.call(this, block) } finally { meta.generation = generation }
    }),
  },
]
