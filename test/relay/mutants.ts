import { Agreement } from '../../src/pool/agreement.js'
import { Claims } from '../../src/pool/claims.js'
import { OwnerLane } from '../../src/pool/owner-lane.js'
import { Pads } from '../../src/pool/pads.js'
import { Startup } from '../../src/pool/startup.js'
import { Greeting } from '../../src/pool/greeting.js'
import { RelayedEnd } from '../../src/relay/relayed.js'
import { RelaySink } from '../../src/relay/sink.js'
import { RelaySource } from '../../src/relay/source.js'
import { both, patch, type Any, type Mutant } from '../pool/mutants.js'

/** Rules of a network, and how to remove each: `seed` is a run of five KMEs that notices; 0: none is known. */
export const meshMutants: readonly Omit<Mutant, 'restores'>[] = [
  {
    // Relayed frames are confirmed once more as a block: that stands behind.
    rule: 'a share is confirmed end to end before it becomes key', seed: 0,
    behind: () => both(
      patch(Agreement.prototype, 'answerTag', () => function (block, m) { return this.withBytes(block, (handle: Any) => this.core.deps.vault.confirmTag(handle, 2, m)) }),
      patch(Agreement.prototype, 'onConfirm', (f) => function (body) {
        const flight = this.flights.get(body.number)
        if (flight !== undefined && body.tag !== null) this.flights.set(body.number, { ...flight, answerTag: body.tag })
        f.call(this, body)
      }),
    ),
    remove: () => both(
      patch(RelaySource.prototype, 'onArrived', (f) => function (body) { this.said = body.tags; f.call(this, body) }),
      patch(RelaySource.prototype, 'examine', (f) => function (job, exchange) { const verdict = f.call(this, job, exchange); return verdict === undefined ? undefined : { ...verdict, expected: this.said } }),
      patch(RelaySink.prototype, 'onJoin', (f) => function (body) {
        for (const entry of this.arriving.values()) if (entry.agreed !== undefined) entry.agreed = { ...entry.agreed, expected: body.tags }
        f.call(this, body)
      }),
    ),
  },
  {
    rule: 'the bits of a job that failed never go out again', seed: 1,
    remove: () => patch(RelaySource.prototype, 'message', (f) => function (job, index, path, share, pads) {
      const { earlier } = this
      this.earlier = pads
      // As if the pads of the job before, which may have failed, were free again.
      return f.call(this, job, index, path, share, earlier !== undefined && earlier.length === pads.length && earlier.every((pad: Any, i: number) => pad.length === pads[i].length) ? earlier : pads)
    }),
  },
  {
    rule: 'a hello says what pads are left', seed: 0,
    remove: () => both(
      patch(Greeting.prototype, 'make', (f) => function (generation) { return f.call(this, generation, this.core.meta.padMine) }),
      patch(Pads.prototype, 'peerSays', () => () => {}),
    ),
  },
  {
    rule: 'an empty lane asks for a block, though the other side holds the stock', seed: 7,
    remove: () => patch(RelayedEnd.prototype, 'wantedBytes', (f) => function () {
      const isDry = this.pool.pending.bytes === 0 && this.pool.lane.freeBytes(true) === 0
      return isDry && this.pool.stockBytes() > 0 ? Math.max(0, this.stockBytes - this.pool.stockBytes()) : f.call(this)
    }),
  },
  { rule: 'claims are checked', seed: 1, remove: () => patch(Claims.prototype, 'check', () => () => 'fresh') },
  {
    rule: 'the looker acknowledges a horizon before it is used', seed: 3,
    remove: () => patch(OwnerLane.prototype, 'open', (f) => function (blocks) {
      const from = this.core.meta.horizonMine + 1
      f.call(this, blocks)
      this.onHorizonAck({ lane: 0, from, index: from + blocks.length - 1, refused: [] })
    }),
  },
  {
    rule: 'a block that was open when its owner crashed is closed', seed: 4,
    remove: () => patch(Startup.prototype, 'beginAbove', () => function () {
      this.begun = true
      const opened = this.opened()
      if (opened.length > 0) this.lane.resume(opened, { index: Math.min(...opened.map((b: { index: number }) => b.index)), offset: 0 })
      this.core.durable(() => { this.begin?.() })
    }),
  },
  {
    rule: 'what a peer remembers of a store counts, and a store that is behind it is void', seed: 0,
    remove: () => both(
      patch(Greeting.prototype, 'judge', (f) => function (hello) {
        const verdict = f.call(this, hello)
        return verdict.kind === 'rolledBack' || verdict.kind === 'refuse' ? { kind: 'go' } : verdict
      }),
      patch(Greeting.prototype, 'merge', (f) => function (hello, voided) { f.call(this, { ...hello, yours: null }, voided) }),
    ),
  },
]
