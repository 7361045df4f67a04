import type { KmeId } from '../../../src/kernel/ids.js'
import type { Pool } from '../../../src/pool/pool.js'
import { kindOfCode, unpackBody } from '../../../src/peer/body.js'
import type { Body, MessageName } from '../../../src/peer/messages.js'
import { checkAgreement, checkBalance, checkMoment, type PoolEnd } from '../../pool/invariants.js'
import { Ledger, type Party } from '../../pool/ledger.js'
import type { SimRandom } from '../../random.js'
import type { Answer, GotKey } from '../../sae-answer.js'
import { saeOf, MeshWorld } from '../world.js'
import type { MeshKme } from '../kme.js'
import { Casts } from './casts.js'
import { JobWatch } from './jobs.js'
import { liar } from './lies.js'
import type { MeshMix } from './mix.js'
import { Orders } from './orders.js'
import { Wire } from './wire.js'

export const SAES = 2
/** What a source of jobs says of a way on which bits were changed (src/relay/source.ts). */
const ACCUSATION = /^relay\.lyingPath: bits were changed on the way (\S+(?: - \S+)+);/
type Pair = readonly [KmeId, KmeId]
/** What a request demands of its bits. */
export type Demand = 'hybrid' | 'paths'
const demands = { hybrid: { name: 'qkme_hybrid', value: true, mandatory: true }, paths: { name: 'qkme_min_disjoint_paths', value: 2, mandatory: true } } as const
/** A pool by its two ends. */
interface Shared { readonly between: Pair, readonly of: (kme: MeshKme, other: KmeId) => Pool | undefined }

/** A network under check: the KMEs, the ledger that watches every answer, the wire that watches every frame. */
export class CheckedNetwork {
  readonly world: MeshWorld
  readonly ledger: Ledger
  readonly wire: Wire
  readonly orders: Orders
  private readonly casts: Casts
  private readonly jobs: JobWatch
  readonly log: string[] = []
  readonly kmes: readonly KmeId[]
  /** Pairs whose SAEs can share key. */
  readonly pairs: readonly Pair[]
  private readonly shared: readonly Shared[]
  /** KMEs whose store is an older one, until they have met everybody. */
  private readonly doubtful = new Set<KmeId>()
  private readonly lying = new Set<KmeId>()
  /** KMEs that may have sent wrong bits at some time: they lied, or their store was an older one. */
  private readonly suspect = new Set<KmeId>()
  private bugsSeen = 0
  private readonly alarmsSeen = new Map<KmeId, number>()

  constructor (seed: number, readonly mix: MeshMix, random: SimRandom) {
    const { links, relayed, limits, relayLimits, flushMs, delayMs, jitterMs, stockBytes } = mix
    this.world = new MeshWorld({
      seed, links, relayed, limits, relayLimits, flushMs, delayMs, jitterMs, stockBytes, saesPerKme: SAES, tickMs: 250, arenaBytes: 1 << 20,
      keepPayloads: true, wall: (i) => mix.wall[i]!,
    })
    this.kmes = [...this.world.kmes.keys()]
    const fetchTtlMs = limits.fetchTtlMs ?? 60_000
    this.ledger = new Ledger(() => this.world.clock.now(), () => fetchTtlMs)
    const isTrusted = (kme: KmeId): boolean => !this.doubtful.has(kme) && !this.lying.has(kme)
    this.wire = new Wire(this.world, this.ledger, (kme) => this.homeOf(kme), isTrusted)
    this.casts = new Casts(this.ledger)
    this.jobs = new JobWatch(this.fault, isTrusted)
    this.orders = new Orders({ ledger: this.ledger, kmes: this.kmes, at: (kme) => this.at(kme), nowMs: () => this.world.clock.now(), note: (what) => { this.note(what) } }, random)
    for (const kme of this.kmes) this.at(kme).heard = (to, name, body) => { this.said(kme, to, name, body) }
    this.shared = [
      ...links.map((between) => ({ between, of: (kme: MeshKme, other: KmeId) => kme.process?.pools.get(other) })),
      ...relayed.map(({ between }) => ({ between, of: (kme: MeshKme, other: KmeId) => kme.process?.relayed.get(other) })),
    ]
    this.pairs = [...new Map(this.shared.map(({ between }) => [[...between].sort().join(), between] as const)).values()]
  }

  note (what: string): void { this.log.push(`${Math.round(this.world.clock.now())} ${what}`) }
  wait (ms: number): Promise<void> { return this.world.wait(ms) }
  at (kme: KmeId): MeshKme { return this.world.at(kme) }
  homeOf (kme: KmeId): number { return this.kmes.indexOf(kme) }
  party (kme: KmeId, index: number): Party { return { sae: saeOf(kme, index), home: this.homeOf(kme) } }
  get parties (): Party[] { return this.kmes.flatMap((kme) => Array.from({ length: SAES }, (_, i) => this.party(kme, i))) }

  // --- SAEs -------------------------------------------------------------------------------------------------------------

  ask (master: Party, slaves: readonly Party[], number: number, sizeBits: number, then: (answer: Answer) => void = () => {}, demand?: Demand): void {
    const kme = this.at(this.kmes[master.home]!), askedMs = this.world.clock.now()
    if (kme.process === undefined) return
    const [slave, ...more] = slaves.map((s) => s.sae), cast = this.casts.begin(master, slaves)
    kme.enc({ caller: master.sae, slave: slave!, additionalSlaves: more, number, sizeBits, extensions: demand === undefined ? [] : [demands[demand]] }, (answer) => {
      this.ledger.gave(master, slaves, number, sizeBits, answer)
      cast(answer)
      if ('keys' in answer) this.checkGiven(kme.o.id, slaves, answer.keys, askedMs, demand)
      then(answer)
    })
  }

  fetch (caller: Party, master: string, ids: readonly string[], then: (answer: Answer) => void = () => {}): void {
    const kme = this.at(this.kmes[caller.home]!)
    if (kme.process === undefined) return
    const hadUnanswered = this.ledger.hasUnanswered(ids, caller)
    this.ledger.asked(ids, caller)
    const askedMs = this.world.clock.now(), home = this.parties.find((party) => party.sae === master)?.home
    kme.dec({ caller: caller.sae, master, keyIds: ids }, (answer) => {
      this.ledger.got(ids, caller, master, hadUnanswered, answer, askedMs)
      if ('keys' in answer && home !== undefined && this.orders.isHeld(kme.o.id, this.kmes[home]!, askedMs)) this.fault(`${kme.o.id} serves keys of ${master} while it holds its pools with ${this.kmes[home]!}`)
      then(answer)
    })
  }

  private checkGiven (kme: KmeId, slaves: readonly Party[], keys: readonly GotKey[], askedMs: number, demand: Demand | undefined): void {
    for (const { home } of slaves) if (this.orders.isHeld(kme, this.kmes[home]!, askedMs)) this.fault(`${kme} gives keys for ${this.kmes[home]!} while it holds its pools with it`)
    for (const { id, extension } of keys) {
      const { qkme_paths: paths, qkme_hybrid: isHybrid } = (extension ?? {}) as { qkme_paths?: number, qkme_hybrid?: boolean }
      if (demand === 'hybrid' ? isHybrid !== true : demand === 'paths' && paths !== undefined && paths < 2) this.fault(`key ${id} does not meet the demand for ${demand!}: ${JSON.stringify(extension)}`)
    }
  }

  // --- messages -----------------------------------------------------------------------------------------------------------

  /** Every message of an engine that its channel took. */
  private said (from: KmeId, to: KmeId, name: MessageName, body: object): void {
    if (name === 'inPool') {
      const inner = body as Body<'inPool'>, kind = kindOfCode(inner.type).name
      if (kind.startsWith('relay') || kind === 'namedGrant') this.said(from, to, kind, unpackBody(kind, inner.body) as object)
      return
    }
    if (name !== 'namedGrant') { this.jobs.said(from, to, name, body); return }
    this.casts.offered(this.homeOf(from), body as Body<'namedGrant'>)
    this.wire.grant(from, to, body as Body<'namedGrant'>)
  }

  // --- trust --------------------------------------------------------------------------------------------------------------

  /** What this KME's store says may be old: until it has met everybody again. */
  doubt (kme: KmeId): void {
    this.doubtful.add(kme)
    this.suspect.add(kme)
    this.wire.forget(kme)
    this.jobs.forget(kme)
    this.orders.forget(kme)
    this.ledger.allow(this.homeOf(kme))
    this.ledger.doubt([this.homeOf(kme)])
  }

  isDoubtful (kme: KmeId): boolean { return this.doubtful.has(kme) }

  lie (kme: KmeId, random: SimRandom): void {
    this.lying.add(kme)
    this.suspect.add(kme)
    this.at(kme).evil = liar(random, this.mix.lies, (to, body) => { this.at(kme).process?.pools.get(to)?.core.send('relayFailed', body) })
  }

  /** Operators take back an alarm that a KME which lied about its bits has caused: it named those of a key as pads, or the other way round. */
  clearAlarms (): void {
    for (const kme of this.kmes) {
      const { process } = this.at(kme)
      process?.run(() => {
        for (const pool of process.allPools) if (pool.core.meta.suspended !== '' && [kme, pool.core.deps.remote].some((end) => this.suspect.has(end))) pool.release()
      })
    }
  }

  silence (kme: KmeId): void { this.at(kme).isSilent = true }

  honest (kme: KmeId): void {
    this.lying.delete(kme)
    this.at(kme).evil = undefined
    this.at(kme).isSilent = false
  }

  private ends ({ between, of }: Shared): [PoolEnd, PoolEnd] {
    const [a, b] = between
    return [{ id: a, pool: of(this.at(a), b) }, { id: b, pool: of(this.at(b), a) }]
  }

  private readonly fault = (what: string): void => { this.ledger.fault(what) }

  /** What must hold now. */
  check (): void {
    const bugs = this.kmes.flatMap((kme) => this.at(kme).bugs.map((bug) => `${kme}: ${bug}`))
    for (const bug of bugs.slice(this.bugsSeen)) this.fault(bug)
    this.bugsSeen = bugs.length
    for (const kme of this.kmes) this.checkAccusations(kme)
    this.orders.check()
    for (const kme of this.doubtful) if (this.hasMet(kme)) { this.doubtful.delete(kme); this.ledger.sure([this.homeOf(kme)]) }
    for (const pool of this.shared) if (!pool.between.some((kme) => this.doubtful.has(kme))) checkMoment(this.ends(pool), this.fault)
  }

  /** Whoever is said to have changed bits did so, or somebody else on that way did. */
  private checkAccusations (kme: KmeId): void {
    const { alarms } = this.at(kme)
    for (const alarm of alarms.slice(this.alarmsSeen.get(kme) ?? 0)) {
      const path = ACCUSATION.exec(alarm)?.[1]?.split(' - ')
      if (path !== undefined && !path.some((node) => this.suspect.has(node))) this.fault(`${kme} accuses an honest way: ${alarm}`)
    }
    this.alarmsSeen.set(kme, alarms.length)
  }

  private hasMet (kme: KmeId): boolean {
    const mine = this.shared.filter(({ between }) => between.includes(kme))
    return this.at(kme).rolledBack === '' && mine.every((pool) => this.ends(pool).every((end) => end.pool?.core.ready === true))
  }

  // --- after calm -----------------------------------------------------------------------------------------------------

  /** Both sides of every pool agree, and every byte is in one account (I10). What is just being agreed on gets some time. */
  async checkBooks (): Promise<void> {
    let found: string[] = []
    for (let attempt = 0; attempt < 6; attempt++) {
      found = []
      for (const pool of this.shared) this.checkPool(this.ends(pool), (what) => { found.push(what) })
      if (found.length === 0) return
      this.frames(2)
      await this.wait(2_500)
    }
    for (const what of found) this.fault(what)
  }

  /** Everybody has met everybody, all pools agree, and nothing that an operator or a refused request took back may still be on its way. */
  get isInOrder (): boolean {
    if (this.doubtful.size > 0 || this.orders.count > 0 || this.casts.burned().length > 0) return false
    let faults = 0
    for (const pool of this.shared) this.checkPool(this.ends(pool), () => { faults++ })
    return faults === 0
  }

  private checkPool (ends: [PoolEnd, PoolEnd], fault: (what: string) => void): void {
    for (const { id, pool } of ends) {
      if (pool === undefined) { fault(`${id} does not stay up`); return }
      if (!pool.core.ready) fault(`after calm ${id} is not connected for ${pool.core.pool}`)
      checkBalance(id, pool, fault)
    }
    checkAgreement(ends, fault)
  }

  /** Slaves try once more what an operator made void, and what was cut for a request that was refused. */
  async checkDead (): Promise<void> {
    const dead = new Map([...this.orders.spread(), ...this.casts.burned()].map((key) => [key.id, key]))
    await this.wait(1)
    for (const { id, master, slaves } of dead.values()) for (const slave of slaves) this.fetch(slave, master.sae, [id])
    await this.wait(1_000)
  }

  /**
   * One key from every KME to every other with which it shares a pool, all at once, with some patience. No refusal is excused: the few SAEs
   * of a network do not use up four epochs' association numbers, as those of two KMEs do that run for longer (`sim/pool/world.ts`).
   */
  async checkDelivery (): Promise<void> {
    const open = new Map(this.pairs.flatMap(([a, b]) => [[a, b], [b, a]] as const).map(([a, b]) => [`${a} to ${b}`, { master: this.party(a, 0), slave: this.party(b, 0), why: 'nobody answered' }]))
    for (let attempt = 0; attempt < 20 && open.size > 0; attempt++) {
      this.clearAlarms()
      this.frames(4)
      for (const [name, pair] of open) {
        this.ask(pair.master, [pair.slave], 1, 256, (first) => {
          if ('refusal' in first) { pair.why = `enc ${first.refusal.code}: ${first.refusal.message}`; return }
          this.fetch(pair.slave, pair.master.sae, [first.keys[0]!.id], (second) => {
            if ('refusal' in second) pair.why = `dec ${second.refusal.code}`
            else open.delete(name)
          })
        })
      }
      await this.wait(1_500)
    }
    for (const [name, { why }] of open) this.fault(`after calm no key from ${name}: ${why}`)
  }

  frames (count: number): void { for (const [a, b] of this.mix.links) this.world.deliver(a, b, count, this.mix.frameBytes) }

  dispose (): void { this.world.dispose() }
}
