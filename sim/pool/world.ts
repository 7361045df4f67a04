import { FRAME_VERSION } from '../../src/peer/frame.js'
import type { PoolEvent, PoolLimits } from '../../src/pool/ports.js'
import type { ReserveSettings } from '../../src/pool/reserve.js'
import { SimClock } from '../clock.js'
import { SimNetwork } from '../network.js'
import { SimRandom } from '../random.js'
import { checkAgreement, checkBalance, checkMoment, PadWatch, type PoolEnd } from './invariants.js'
import { Ledger, type Party } from './ledger.js'
import type { Mix } from './mix.js'
import type { Answer } from '../sae-answer.js'
import { SimNode } from './node.js'

export type WorldOptions = Pick<Mix, 'limits' | 'flushMs' | 'delayMs' | 'jitterMs' | 'wallAheadMs' | 'wallDriftPpm'> & { readonly reserve?: ReserveSettings }

export const plainWorld: WorldOptions = {
  limits: { keyTtlMs: 600_000, fetchTtlMs: 60_000 }, flushMs: 3, delayMs: 2, jitterMs: 3, wallAheadMs: 0, wallDriftPpm: 0,
}
/** A looker keeps a block for so long after its owner's time for it, and what was issued of it may be fetched; and some time to found an epoch. */
const LOOKER_KEEPS_MS = 600_000 + 60_000
const SAES = [['a1', 'a2', 'a3'], ['b1', 'b2', 'b3']] as const

const countOf = (node: SimNode, type: PoolEvent['type']): number => node.events.reduce((n, e) => n + (e.type === type ? 1 : 0), 0)

/** Two whole KMEs, A and B, with their SAEs, a link between them, and the ledger that watches every answer. */
export class World {
  readonly clock = new SimClock()
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly nodes: readonly [SimNode, SimNode]
  readonly ledger: Ledger
  readonly log: string[] = []
  /** False while a copy of a store is about: then two nodes may believe different things. */
  isWhole = true
  /** A copy of a node runs beside it: each of the two may take the other's place with the peer, which voids the pool, at any time. */
  hasTwin = false
  private readonly pads: PadWatch
  private nextFrame = 0
  private readyCounts: readonly [number, number] | undefined
  private rollbacksSeen = 0

  constructor (seed: number, readonly o: WorldOptions) {
    this.random = new SimRandom(seed)
    const fetchTtlMs = o.limits.fetchTtlMs ?? 60_000
    this.ledger = new Ledger(() => this.clock.now(), () => fetchTtlMs)
    this.network = new SimNetwork({ clock: this.clock, random: this.random.fork(), faults: { delayMs: o.delayMs, jitterMs: o.jitterMs } })
    const pads = this.pads = new PadWatch((what) => { if (this.isWhole) this.ledger.fault(what) })
    this.network.tap = (from, to, bytes) => { pads.frame(from, to, bytes, FRAME_VERSION); return [bytes] }
    this.nodes = [this.node(0, o.limits), this.node(1, o.limits)]
  }

  private node (home: 0 | 1, limits: Partial<PoolLimits>): SimNode {
    const { clock, network, o } = this
    const wallMs = (): number => clock.wallMs() + o.wallAheadMs + clock.now() * o.wallDriftPpm / 1e6
    return new SimNode({
      id: home === 0 ? 'A' : 'B', peer: home === 0 ? 'B' : 'A', clock, network, random: this.random.fork(), limits, flushMs: o.flushMs,
      saes: SAES[home], peerSaes: SAES[1 - home as 0 | 1], arenaBytes: 1 << 20, ...(o.reserve === undefined ? {} : { reserve: o.reserve }), ...(home === 1 ? { wallMs } : {}),
    })
  }

  private ends (): [PoolEnd, PoolEnd] { return this.nodes.map((node) => ({ id: node.o.id, pool: node.process?.pool })) as [PoolEnd, PoolEnd] }

  note (what: string): void { this.log.push(`${Math.round(this.clock.now())} ${what}`) }
  wait (ms: number): Promise<void> { return this.clock.advanceAsync(ms) }

  // --- devices and SAEs -------------------------------------------------------------------------------------------------

  /** Both ends get the same frames, but for those that `missing` names an end for; `different` makes bytes differ. */
  frames (count: number, o: { length?: () => number, missing?: () => number, different?: () => boolean } = {}): void {
    for (let i = 0; i < count; i++) {
      const id = ++this.nextFrame
      const length = o.length?.() ?? 3_968, missing = o.missing?.() ?? -1, isDifferent = o.different?.() === true
      this.nodes.forEach((node, n) => { if (n !== missing) node.frame(id, isDifferent && n === 1 ? -id : id, length) })
    }
  }

  get parties (): Party[] { return SAES.flat().map((sae) => this.party(sae)) }
  party (sae: string): Party { return { sae, home: (SAES[0] as readonly string[]).includes(sae) ? 0 : 1 } }

  /** A master asks. `then` sees the answer after the ledger. */
  ask (master: string, slaves: readonly string[], number: number, sizeBits: number, then: (answer: Answer) => void = () => {}, node = this.nodes[this.party(master).home]!): void {
    if (node.process === undefined) return
    const [slave, ...additionalSlaves] = slaves
    node.enc({ caller: master, slave: slave!, additionalSlaves, number, sizeBits }, (answer) => {
      this.ledger.gave(this.party(master), slaves.map((s) => this.party(s)), number, sizeBits, answer)
      then(answer)
    })
  }

  fetch (caller: string, master: string, ids: readonly string[], then: (answer: Answer) => void = () => {}): void {
    const party = this.party(caller)
    const node = this.nodes[party.home]!
    if (node.process === undefined) return
    const hadUnanswered = this.ledger.hasUnanswered(ids, party)
    this.ledger.asked(ids, party)
    node.dec({ caller, master, keyIds: ids }, (answer) => {
      this.ledger.got(ids, party, master, hadUnanswered, answer)
      then(answer)
    })
  }

  // --- doubt ------------------------------------------------------------------------------------------------------------

  /** A store begins anew: numbers may come again, with other bytes. */
  forgetPads (): void { this.pads.clear() }

  private readies (): [number, number] { return [countOf(this.nodes[0], 'pool.ready'), countOf(this.nodes[1], 'pool.ready')] }

  /** Stock may be void until both nodes have met again. */
  doubt (): void {
    this.isWhole = false
    this.readyCounts = this.readies()
    this.ledger.doubt()
  }

  /** What must hold now. Called between steps. */
  check (): void {
    const rollbacks = countOf(this.nodes[0], 'store.rolledBack') + countOf(this.nodes[1], 'store.rolledBack')
    if (rollbacks > this.rollbacksSeen) { this.rollbacksSeen = rollbacks; this.doubt() }
    for (const node of this.nodes) for (const bug of node.bugs) this.ledger.fault(`${node.o.id}: ${bug}`)
    if (this.readyCounts !== undefined) {
      const now = this.readies()
      const isMet = !this.hasTwin && now.every((n, i) => n > this.readyCounts![i]!) && this.nodes.every((n) => n.process?.pool.core.ready === true && n.rolledBack === '')
      if (isMet) {
        this.readyCounts = undefined
        this.isWhole = true
        this.ledger.sure()
      }
    }
    if (this.isWhole) checkMoment(this.ends(), (what) => { this.ledger.fault(what) })
  }

  // --- the end -----------------------------------------------------------------------------------------------------------

  /** Trouble ends: both sides come back, agree, account for every byte, and deliver in both directions. */
  async calm (revive: (home: 0 | 1) => Promise<void>, rounds = 4): Promise<void> {
    this.network.join('A', 'B')
    this.network.setFaults('A', 'B', { loss: 0, duplicate: 0, reorder: 0 })
    this.network.setFaults('B', 'A', { loss: 0, duplicate: 0, reorder: 0 })
    for (const node of this.nodes) { node.disk.heal(); node.flushMs = this.o.flushMs }
    for (let round = 0; round < rounds; round++) {
      for (const home of [0, 1] as const) await revive(home)
      await this.wait(45_000)
      this.frames(80)
      await this.wait(15_000)
      this.check()
    }
    if (this.ledger.violations.length > 0) return
    for (const node of this.nodes) if (node.process === undefined) { this.ledger.fault(`${node.o.id} does not stay up`); return }
    checkAgreement(this.ends(), (what) => { this.ledger.fault(what) })
    for (const node of this.nodes) checkBalance(node.o.id, node.pool, (what) => { this.ledger.fault(what) })
    for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) if (this.ledger.violations.length === 0) await this.exchange(master, slave)
  }

  /** One key from master to slave, with some patience. */
  async exchange (master: string, slave: string): Promise<void> {
    let first = await this.firstKey(master, slave), second: Answer | undefined
    if ('refusal' in first && this.nodes.some((n) => n.pool.epochs.isFull)) {
      // Association numbers were used up four times over: they come again when the last blocks of the oldest ID epoch go.
      await this.wait((this.o.limits.keyTtlMs ?? 600_000) + (this.o.limits.fetchTtlMs ?? 60_000) + LOOKER_KEEPS_MS)
      first = await this.firstKey(master, slave)
    }
    if ('refusal' in first) { this.ledger.fault(`no key for ${master}: ${JSON.stringify(first)}`); return }
    this.fetch(slave, master, [first.keys[0]!.id], (answer) => { second = answer })
    await this.wait(1_000)
    if (second === undefined || 'refusal' in second) this.ledger.fault(`${slave} did not get the key of ${master}: ${JSON.stringify(second)}`)
  }

  private async firstKey (master: string, slave: string): Promise<Answer> {
    let answer: Answer = { refusal: { code: 'PEER_DOWN', message: 'nobody answered' } }
    for (let attempt = 0; attempt < 8 && 'refusal' in answer; attempt++) {
      this.frames(16) // A new ID epoch may be wanted.
      this.ask(master, [slave], 1, 256, (got) => { answer = got })
      await this.wait(4_000)
    }
    return answer
  }

  dispose (): void { for (const node of this.nodes) node.dispose() }
}
