import { loadNative } from '../../src/device/native.js'
import { Claims } from '../../src/pool/claims.js'
import { Greeting } from '../../src/pool/greeting.js'
import { Grants } from '../../src/pool/grants.js'
import { OwnerLane } from '../../src/pool/owner-lane.js'
import { Pool } from '../../src/pool/pool.js'
import { Startup } from '../../src/pool/startup.js'

/** Private members are reached by name. */
type Any = any
type Method = (...args: Any[]) => Any

/** A rule of the engine, and how to remove it. `seed` is a run of the model that notices; 0: none is known. */
export interface Mutant { readonly rule: string, readonly restores: boolean, readonly seed: number, readonly remove: () => () => void }

/** Replaces a method of a prototype by one made from it. @returns puts it back. */
const patch = (prototype: object, name: string, make: (original: Method) => (this: Any, ...args: Any[]) => Any): (() => void) => {
  const target = prototype as Record<string, Method>
  const original = target[name]!
  target[name] = make(original)
  return () => { target[name] = original }
}
const both = (...patches: (() => void)[]) => (): void => { for (const undo of patches) undo() }

const vaultPrototype = (): object => Object.getPrototypeOf(loadNative().createVault({ arenaBytes: 65_536, allowUnlockedMemory: true })) as object

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
    rule: 'the looker acknowledges a horizon before it is used', restores: false, seed: 0,
    remove: () => patch(OwnerLane.prototype, 'open', (f) => function (blocks) {
      const from = this.core.meta.horizonMine + 1
      f.call(this, blocks)
      this.onHorizonAck({ lane: 0, from, index: from + blocks.length - 1, refused: [] })
    }),
  },
  {
    rule: 'a store that was rolled back is found out by its peer', restores: true, seed: 0,
    remove: () => patch(Greeting.prototype, 'judge', (f) => function (hello) {
      const verdict = f.call(this, hello)
      return verdict.kind === 'rolledBack' ? { kind: 'go' } : verdict
    }),
  },
  {
    rule: 'a grant, and any message of the outbox, is taken once', restores: false, seed: 0,
    remove: () => both(
      patch(Pool.prototype, 'onSequenced', (f) => function (name, body, seq) {
        const { meta } = this.core
        const last = meta.lastProcessed
        if (seq <= last) meta.lastProcessed = seq - 1
        f.call(this, name, body, seq)
        meta.lastProcessed = Math.max(last, meta.lastProcessed)
      }),
      patch(Grants.prototype, 'onGrant', (f) => function (tx, body) { this.core.meta.grantTaken = 0; return f.call(this, tx, body) }),
    ),
  },
  {
    rule: 'a gap in the outbox numbers waits', restores: false, seed: 23,
    remove: () => patch(Pool.prototype, 'onSequenced', (f) => function (name, body, seq) { f.call(this, name, { ...body, first: true }, seq) }),
  },
  {
    rule: 'a lease is on disk before it is cut', restores: false, seed: 0,
    remove: () => patch(OwnerLane.prototype, 'lease', (f) => function (least) {
      const { core } = this
      core.durable = (then: () => void) => { queueMicrotask(then) }
      try { f.call(this, least) } finally { delete core.durable }
    }),
  },
  {
    rule: 'claims are checked', restores: false, seed: 1,
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
    rule: 'confirmation tags are compared', restores: false, seed: 0,
    remove: () => both(
      patch(vaultPrototype(), 'verifyConfirmTag', () => () => true),
      patch(vaultPrototype(), 'confirmTag', () => () => new Uint8Array(16)),
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
