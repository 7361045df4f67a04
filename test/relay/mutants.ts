import type { Action, MeshMix } from '../../sim/mesh/check/mix.js'
import type { Lie } from '../../sim/mesh/check/lies.js'
import { HybridExchanges } from '../../src/hybrid/exchanges.js'
import { Holds } from '../../src/pool/holds.js'
import { NamedOffers } from '../../src/pool/named-offers.js'
import { RelayAccess } from '../../src/pool/relay-access.js'
import { Voids } from '../../src/pool/voids.js'
import { RelayedEnd } from '../../src/relay/relayed.js'
import { RelaySink } from '../../src/relay/sink.js'
import { jobName, RelaySource } from '../../src/relay/source.js'
import type { Mutant } from '../pool/mutants.js'
import {
  both, claimsNothing, confirmsAnyBytes, cutsUnflushed, forgetsPeersWord, goesOnAtLease, opensStayOpen, patch, usesHorizonAtOnce, type Any, type Removal,
} from '../pool/removals.js'

/** Each end takes the tags of the other for its own. */
const confirmsAnyShare: Removal = () => both(
  patch(RelaySource.prototype, 'onArrived', (f) => function (body) { this.said = body.tags; f.call(this, body) }),
  patch(RelaySource.prototype, 'examine', (f) => function (job, body) { const verdict = f.call(this, job, body); return verdict === undefined ? undefined : { ...verdict, expected: this.said } }),
  patch(RelaySink.prototype, 'onJoin', (f) => function (body) {
    for (const entry of this.arriving.values()) if (entry.agreed !== undefined) entry.agreed = { ...entry.agreed, expected: body.tags }
    f.call(this, body)
  }),
)

/** As if the pads of the job before, which may have failed, were free again. */
const sendsBitsAgain: Removal = () => patch(RelaySource.prototype, 'message', (f) => function (job, index, path, share, pads) {
  const { earlier } = this
  this.earlier = pads
  return f.call(this, job, index, path, share, earlier !== undefined && earlier.length === pads.length && earlier.every((pad: Any, i: number) => pad.length === pads[i].length) ? earlier : pads)
})

const asksNothingWhenEmpty: Removal = () => patch(RelayedEnd.prototype, 'wantedBytes', (f) => function () {
  const isDry = this.pool.pending.bytes === 0 && this.pool.lane.freeBytes(true) === 0
  return isDry && this.pool.stockBytes() > 0 ? Math.max(0, this.stockBytes - this.pool.stockBytes()) : f.call(this)
})

/** Jobs go on though nothing can be confirmed any more. */
const keepsJobsWithoutChannel: Removal = () => patch(RelaySource.prototype, 'stop', () => () => {})
const waitsForever: Removal = () => patch(RelaySource.prototype, 'late', () => () => {})

/** An answer that comes when its job is given up finds it again. */
const revivesJobs: Removal = () => both(
  patch(RelaySource.prototype, 'end', (f) => function (job) { (this.gone ??= new Map()).set(jobName(job.id), job); return f.call(this, job) }),
  patch(RelaySource.prototype, 'onArrived', (f) => function (body) {
    const name = jobName(body.job), job = this.gone?.get(name)
    if (job !== undefined && !this.jobs.has(name)) this.jobs.set(name, job)
    f.call(this, body)
  }),
)

/** A share is taken whatever way it names. */
const takesAnyPath: Removal = () => patch(RelaySink.prototype, 'mayTake', (f) => function (job, share, _path, bytes) { return f.call(this, job, share, this.arriving.get(jobName(job))?.paths[share] ?? [], bytes) })

/** A neighbour may name bits that it named before. */
const takesBitsAgain: Removal = () => patch(RelayAccess.prototype, 'claim', (f) => function (pads) {
  const { claims } = this
  const unchecked = Object.create(claims) as Any
  unchecked.check = () => 'fresh'
  this.claims = unchecked
  try { return f.call(this, pads) } finally { this.claims = claims }
})

/** What the other KME says is void is served. */
const hearsNoVoid: Removal = () => patch(Voids.prototype, 'onVoidKeys', (f) => function (tx, body) { return f.call(this, tx, { ...body, keys: [], associations: [], stretches: [], ids: [] }) })
const holdsNothing: Removal = () => patch(Holds.prototype, 'text', () => () => '')
/** Further KMEs keep what they were granted, though the request was refused. */
const leavesGrants: Removal = () => patch(NamedOffers.prototype, 'withdraw', () => () => {})
/** Hybrid pools without a stream: their bits are those of the relay. */
const sealsWithoutStream: Removal = () => patch(HybridExchanges.prototype, 'seal', () => function (_remote, _exchange, _job, _frame, { sealer, header, blocks, offsets, length, out }) {
  return this.o.vault.sealXor(sealer, header, blocks, offsets, length, out, false)
})

/** @param needs Whether a run can bring it about: others are not tried. */
export interface MeshMutant extends Omit<Mutant, 'restores'> { readonly needs?: (mix: MeshMix) => boolean }

const does = (action: Action) => ({ actions }: MeshMix): boolean => actions.some((a) => a.action === action)
const lies = (lie: Lie) => (mix: MeshMix): boolean => does('lie')(mix) && mix.lies.length === 1 && mix.lies.includes(lie)

/** Rules of a network, and how to remove each: `seed` is a run of five KMEs that notices. */
export const meshMutants: readonly MeshMutant[] = [
  // Relayed frames are confirmed once more as a block: that stands behind.
  { rule: 'a share is confirmed end to end before it becomes key', seed: 1484, behind: confirmsAnyBytes, remove: confirmsAnyShare, needs: lies('bits') },
  { rule: 'the bits of a job that failed never go out again', seed: 2, remove: sendsBitsAgain },
  { rule: 'claims are checked', seed: 1, remove: claimsNothing },
  { rule: 'the looker acknowledges a horizon before it is used', seed: 4, remove: usesHorizonAtOnce },
  { rule: 'a block that was open when its owner crashed is closed', seed: 5, remove: opensStayOpen, needs: does('kill') },
  // A job's own time limit stands behind.
  { rule: 'jobs end with their control channel', seed: 29, behind: waitsForever, remove: keepsJobsWithoutChannel },
  { rule: 'what a peer remembers of a store counts, and a store that is behind it is void', seed: 18, remove: forgetsPeersWord, needs: does('restore') },
  { rule: 'an answer that comes late revives no job', seed: 627, remove: revivesJobs, needs: lies('cry') },
  { rule: 'only shares over planned paths are taken', seed: 355, remove: takesAnyPath, needs: lies('detour') },
  { rule: 'what an operator makes void at one KME is void at the other', seed: 6, remove: hearsNoVoid, needs: does('void') },
  { rule: 'a pool on hold gives and serves no key', seed: 3, remove: holdsNothing, needs: does('hold') },
  { rule: 'grants of a request that was refused are taken back', seed: 8, remove: leavesGrants, needs: does('cast') },
  { rule: 'a hybrid stream lies over the bits of a hybrid pool', seed: 2, remove: sealsWithoutStream, needs: ({ relayed }) => relayed.some(({ hybrid }) => hybrid) },
]

/** Rules that the model looks at and that no run of sixteen which can bring it about has noticed (docs/simulation.md): for a search. */
export const seedlessMutants: readonly Omit<MeshMutant, 'seed'>[] = [
  { rule: 'an empty lane asks for a block, though the other side holds the stock', remove: asksNothingWhenEmpty },
  // As between two KMEs: seen where a lane goes on behind what its store says it leased.
  { rule: 'pads of the relay are leased on disk before bits go out under them', behind: goesOnAtLease, remove: cutsUnflushed, needs: does('power') },
  { rule: 'a node takes a neighbour\'s bits once', remove: takesBitsAgain, needs: lies('twice') },
]
