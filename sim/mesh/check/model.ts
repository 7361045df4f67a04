import type { KmeId } from '../../../src/kernel/ids.js'
import { Downs } from '../../pool/downs.js'
import { Fetches } from '../../pool/fetches.js'
import { judged, type Model } from '../../pool/judged.js'
import type { Ledger } from '../../pool/ledger.js'
import { pickAction } from '../../pool/mix.js'
import { SimRandom } from '../../random.js'
import type { SimDisk } from '../../store.js'
import { drawMix, type Action, type MeshMix } from './mix.js'
import { CheckedNetwork, SAES } from './network.js'

export interface MeshModelOptions {
  readonly seed: number
  readonly nodes: number
  /** Simulated time of trouble. */
  readonly troubleMs?: number
}

export interface MeshModelResult {
  readonly seed: number
  readonly violations: readonly string[]
  readonly delivered: number, readonly fetched: number
  /** Relayed blocks on lines between neighbours. */
  readonly relayed: number
  readonly simulatedMs: number
  readonly refusals: Readonly<Record<string, number>>
  readonly log: readonly string[]
}

const TROUBLE_MS = 24_000
const CALM_ROUNDS = 10
/** What is in order so often one after the other stays so: most runs end then, and a quarter of them (`isPatient`) looks whether that is true. */
const ROUNDS_IN_ORDER = 3
const SIZES = [64, 128, 256, 256, 256, 512, 1_024]

/** One run: a network, a mix of trouble drawn from the seed, the rules after each step; then calm, and what must come back. */
class MeshModel implements Model<MeshModelResult> {
  readonly mix: MeshMix
  readonly net: CheckedNetwork
  private readonly random: SimRandom
  private readonly fetches: Fetches
  private readonly downs: Downs
  private readonly copies = new Map<KmeId, SimDisk>()
  /** Links whose devices bring nothing. */
  private readonly dark = new Set<string>()
  private readonly actions: Record<Action, (kme: KmeId) => void | Promise<void>>

  constructor (readonly o: MeshModelOptions) {
    this.random = new SimRandom(o.seed)
    this.mix = drawMix(this.random, o.nodes)
    const net = this.net = new CheckedNetwork(this.random.next(), this.mix, this.random.fork())
    const { random } = this
    const fetches = this.fetches = new Fetches(random, net.ledger, net.parties, (caller, master, ids) => { net.fetch(caller, master, ids) })
    const downs = this.downs = new Downs(random, this.mix.downMs, (what) => { net.note(what) })
    this.actions = {
      ask: () => { this.ask(random.pick([1, 1, 2, 8])) }, askMany: () => { this.ask(random.pick([32, 64])) },
      cast: (kme) => this.cast(kme), demand: () => { this.demand() },
      void: (kme) => { net.orders.void(kme) }, hold: (kme) => this.hold(kme),
      fetch: () => { fetches.some() }, refetch: () => { fetches.again() }, steal: () => { fetches.steal() },
      frames: () => { this.frames() }, wait: () => net.wait(random.pick([5, 50, 300, 600, 2_000])),
      kill: (kme) => { downs.kill(net.at(kme)) }, power: (kme) => { downs.power(net.at(kme)) }, stop: (kme) => downs.stop(net.at(kme)),
      failDisk: (kme) => { net.note(`disk of ${kme} fails`); net.at(kme).disk.failNth(1 + random.integer(30)) },
      slowDisk: (kme) => { net.at(kme).flushMs = random.pick([1, 30, 200, 1_000]) },
      partition: () => { this.cut(random.pick(this.mix.links), true, true) }, oneWay: () => { this.cut(random.pick(this.mix.links), true, false) },
      isolate: (kme) => { for (const link of this.mix.links) if (link.includes(kme)) this.cut(link, true, true) },
      losses: () => { this.fault({ loss: 0.03 }) }, disorder: () => { this.fault({ duplicate: 0.03, reorder: 0.03 }) }, slowLine: () => { this.fault({ delayMs: random.pick([50, 400]) }) },
      device: () => { this.device() }, noise: () => { this.noise() },
      lie: (kme) => { this.lie(kme) }, silence: (kme) => { net.note(`${kme} is silent`); net.silence(kme); this.later([500, 6_000], () => { net.honest(kme) }) },
      copy: (kme) => { net.note(`copy ${kme}`); this.copies.set(kme, net.at(kme).disk.copy()) }, restore: (kme) => { this.restore(kme, random.chance(0.5)) },
    }
  }

  async run (): Promise<void> {
    const { net, random } = this
    for (const kme of net.kmes) await net.at(kme).start()
    await net.wait(1_000)
    net.frames(12)
    await net.wait(2_000)
    net.frames(20 * this.mix.plenty)
    await net.wait(3_000)
    const endMs = net.world.clock.now() + (this.o.troubleMs ?? TROUBLE_MS)
    while (net.world.clock.now() < endMs) {
      await this.actions[pickAction(random, this.mix.actions)](random.pick(net.kmes))
      this.revive(false)
      net.check()
      if (net.ledger.violations.length > 0) return
    }
    this.fetches.all()
    await this.calm()
  }

  // --- nodes --------------------------------------------------------------------------------------------------------------

  private revive (isDue: boolean): void {
    const { net } = this
    for (const kme of net.kmes) {
      const node = net.at(kme)
      if (node.process !== undefined && node.rolledBack !== '') { net.note(`${kme} was rolled back: ${node.rolledBack}`); net.doubt(kme); node.kill() }
      if (node.process !== undefined || !(isDue || this.downs.isOver(node))) continue
      net.note(`start ${kme}${node.rolledBack === '' ? '' : ' with a new identity'}`)
      void node.start()
    }
  }

  /** An old copy of a store comes back. The stamp gives it away at the start, or (`isSeen` false) the peers must. One at a time: two that were old at once could not tell on each other. */
  private restore (kme: KmeId, isSeen: boolean): void {
    const { net } = this, copy = this.copies.get(kme)
    if (copy === undefined || net.kmes.some((other) => net.isDoubtful(other))) return
    net.note(`restore ${kme}${isSeen ? ', seen at the start' : ''}`)
    net.at(kme).kill()
    net.at(kme).disk.restore(copy)
    if (isSeen) net.at(kme).rolledBack = 'the stamp is not its own'
    net.ledger.forgave(net.homeOf(kme))
    net.doubt(kme)
  }

  private lie (kme: KmeId): void {
    if (this.mix.lies.length === 0) return
    this.net.note(`${kme} lies: ${this.mix.lies.join(', ')}`)
    this.net.lie(kme, this.random.fork())
    if (this.mix.lies.some((lie) => lie === 'pads' || lie === 'twice')) this.net.ledger.doubt([this.net.homeOf(kme)]) // It may name the bits of a key as pads: that one is owed to nobody.
    this.later([500, 6_000], () => { this.net.honest(kme) })
  }

  // --- lines and devices ------------------------------------------------------------------------------------------------

  private later (afterMs: readonly number[], fn: () => void): void { this.net.world.clock.after(this.random.pick(afterMs), fn) }

  private cut ([a, b]: readonly [KmeId, KmeId], there: boolean, back: boolean): void {
    const { network } = this.net.world
    const [from, to] = this.random.chance(0.5) ? [a, b] : [b, a]
    this.net.note(`cut ${from} - ${to}${back ? '' : ', one way'}`)
    if (there) network.cut(from, to)
    if (back) network.cut(to, from)
    this.later([100, 3_000, 12_000], () => { network.join(a, b) })
  }

  private fault (faults: Parameters<CheckedNetwork['world']['network']['setFaults']>[2]): void {
    const { network } = this.net.world, [a, b] = this.random.pick(this.mix.links)
    const [from, to] = this.random.chance(0.5) ? [a, b] : [b, a]
    this.net.note(`faults ${from} - ${to} ${JSON.stringify(faults)}`)
    network.setFaults(from, to, faults)
    this.later([500, 4_000], () => { this.heal(from, to) })
  }

  private heal (from: KmeId, to: KmeId): void { this.net.world.network.setFaults(from, to, { loss: 0, duplicate: 0, reorder: 0, delayMs: this.mix.delayMs }) }

  private device (): void {
    const link = this.random.pick(this.mix.links).join(' ')
    this.net.note(`devices of ${link} bring nothing`)
    this.dark.add(link)
    this.later([1_000, 8_000], () => { this.dark.delete(link) })
  }

  private frames (): void {
    const { net, mix, random } = this
    for (const [a, b] of mix.links) if (!this.dark.has(`${a} ${b}`) && random.chance(0.7)) net.world.deliver(a, b, mix.plenty * (1 + random.integer(3)), mix.frameBytes)
  }

  /** One end of a link gets frames that the other does not, or other ones. */
  private noise (): void {
    const { world } = this.net, [a, b] = this.random.pick(this.mix.links)
    world.differ(a, b, this.random.chance(0.5), this.mix.frameBytes)
  }

  // --- SAEs ---------------------------------------------------------------------------------------------------------------

  private ask (number: number): void {
    const { net, random } = this, pair = random.pick(net.pairs)
    const [a, b] = random.chance(0.5) ? pair : [pair[1], pair[0]]
    const first = random.integer(SAES), slaves = [net.party(b, first)]
    if (random.chance(0.1)) slaves.push(net.party(b, (first + 1) % SAES))
    net.ask(net.party(a, random.integer(SAES)), slaves, number, random.pick(SIZES))
  }

  /** Slaves at several KMEs at once, perhaps one beside the master. */
  private async cast (kme: KmeId): Promise<void> {
    const { net, random } = this, far = net.pairs.filter((pair) => pair.includes(kme)).map(([a, b]) => a === kme ? b : a)
    if (far.length < 2) return
    const homes = far.splice(random.integer(far.length), 1)
    homes.push(...far.splice(random.integer(far.length), 1), ...random.chance(0.3) ? far.slice(0, 1) : [])
    const master = random.integer(SAES), slaves = homes.map((home) => net.party(home, random.integer(SAES)))
    if (random.chance(0.2)) slaves.push(net.party(kme, (master + 1) % SAES))
    net.ask(net.party(kme, master), slaves, random.pick([1, 1, 2, 8]), random.pick(SIZES))
    if (!random.chance(0.25)) return
    await net.wait(random.pick([1, 5, 20]))
    this.downs.kill(net.at(random.pick([kme, homes.at(-1)!])))
  }

  /** SAEs ask at once, and again later. */
  private async hold (kme: KmeId): Promise<void> {
    const { net, random } = this, held = net.orders.hold(kme)
    if (held === undefined) return
    this.later([500, 6_000], held.release)
    await net.wait(random.pick([1, 50, 300]))
    net.ask(net.party(kme, 0), [net.party(held.peer, 0)], 1, 256)
    this.fetches.all()
  }

  /** Bits of a class: perhaps there are none. */
  private demand (): void {
    const { net, random } = this, { between: [a, b] } = random.pick(this.mix.relayed)
    net.ask(net.party(a, 0), [net.party(b, 0)], random.pick([1, 2]), 256, () => {}, random.pick(['hybrid', 'paths']))
  }

  // --- calm ---------------------------------------------------------------------------------------------------------------

  private async calm (): Promise<void> {
    const { net, mix } = this
    net.note('calm')
    this.dark.clear()
    for (const [a, b] of mix.links) { net.world.network.join(a, b); this.heal(a, b); this.heal(b, a) }
    for (const kme of net.kmes) { net.honest(kme); net.at(kme).disk.heal(); net.at(kme).flushMs = mix.flushMs }
    let inOrder = 0
    for (let round = 0; round < CALM_ROUNDS && (mix.isPatient || inOrder < ROUNDS_IN_ORDER); round++) { // Links bring key without an end: a pad that is lacking stops what it is needed for.
      this.revive(true)
      net.orders.releaseAll()
      net.clearAlarms()
      net.frames(4)
      await net.wait(2_000)
      if (round === 0) this.fetches.all()
      net.check()
      inOrder = net.isInOrder ? inOrder + 1 : 0
    }
    await net.wait(3_000)
    net.check()
    if (net.ledger.violations.length > 0) return
    await net.checkDead()
    await net.checkBooks()
    if (net.ledger.violations.length === 0) await net.checkDelivery()
    net.check()
  }

  get ledger (): Ledger { return this.net.ledger }

  dispose (): void { this.net.dispose() }

  result (): MeshModelResult {
    const { ledger, log, wire, world } = this.net
    return {
      seed: this.o.seed, violations: ledger.violations, delivered: ledger.delivered, fetched: ledger.fetched, relayed: wire.relayed, simulatedMs: world.clock.now(),
      refusals: Object.fromEntries(ledger.refusals), log,
    }
  }
}

/** One run; the same options give the same run. */
export const runMeshModel = (options: MeshModelOptions): Promise<MeshModelResult> => judged(new MeshModel(options))
