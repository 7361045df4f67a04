import { Downs } from './downs.js'
import { Fetches } from './fetches.js'
import { judged, type Model } from './judged.js'
import type { Ledger } from './ledger.js'
import { Losses } from './losses.js'
import { drawMix, pickAction, type Action, type Mix } from './mix.js'
import { SimRandom } from '../random.js'
import { World } from './world.js'

export interface ModelOptions {
  readonly seed: number
  readonly steps: number
  /** With old copies of stores, new stores, two at once, and operators who void pools. */
  readonly restores?: boolean
  /** Block numbers jump ahead, as in years of use: over all that a number of 31 or 32 bits holds. */
  readonly jumps?: boolean
}

export interface ModelResult {
  readonly seed: number
  readonly violations: readonly string[]
  readonly delivered: number
  readonly fetched: number
  readonly refusals: Readonly<Record<string, number>>
  readonly log: readonly string[]
}

type Home = 0 | 1
const SIZES = [64, 72, 128, 256, 256, 256, 512, 1_024, 8_192]

/** One run: a world, a mix of trouble drawn from the seed, and the rules after each step (I1 to I5, I10; design 3, 4). */
class PoolModel implements Model<ModelResult> {
  readonly mix: Mix
  readonly world: World
  private readonly random: SimRandom
  private readonly losses: Losses
  private readonly fetches: Fetches
  private readonly downs: Downs
  /** Its own, so that a run is the same but for what jumps bring about. */
  private readonly jumps: SimRandom
  private readonly actions: Record<Action, (home: Home) => void | Promise<void>>

  constructor (readonly o: ModelOptions) {
    this.random = new SimRandom(o.seed)
    this.mix = drawMix(this.random, o.restores === true)
    const world = this.world = new World(this.random.next(), this.mix)
    this.jumps = new SimRandom(o.seed ^ 0x6a75_6d70)
    const { random } = this
    const losses = this.losses = new Losses(world, random.fork())
    const fetches = this.fetches = new Fetches(random, world.ledger, world.parties, (caller, master, ids) => { world.fetch(caller.sae, master, ids) })
    const downs = this.downs = new Downs(random, this.mix.downMs, (what) => { world.note(what) })
    this.actions = {
      ask: (home) => { this.ask(home) }, askMany: (home) => { this.ask(home, true) }, askLocal: (home) => { this.askLocal(home) },
      drain: (home) => this.drain(home), fetch: () => { fetches.some() }, refetch: () => { fetches.again() }, steal: () => { fetches.steal() },
      frames: () => { this.frames(1 + random.integer(40)) },
      wait: () => world.wait(random.pick([5, 20, 100, 600, 3_000])), longWait: () => world.wait(random.pick([10_000, 30_000])),
      kill: (home) => { downs.kill(world.nodes[home]) }, power: (home) => { downs.power(world.nodes[home]) }, stop: (home) => downs.stop(world.nodes[home]),
      failDisk: (home) => { world.note(`disk of ${world.nodes[home].o.id} fails`); world.nodes[home].disk.failNth(1 + random.integer(30)) },
      slowDisk: (home) => { world.nodes[home].flushMs = random.pick([1, 30, 200, 1_500]) },
      partition: () => { this.cut(true, true) }, oneWay: (home) => { this.cut(home === 0, home === 1) },
      losses: (home) => { this.fault(home, { loss: 0.05 }) }, disorder: (home) => { this.fault(home, { duplicate: 0.05, reorder: 0.05 }) },
      noise: () => { world.frames(16, { different: () => random.chance(0.1) }) },
      copy: (home) => { losses.copy(home) }, restore: (home) => { losses.restore(home, random.chance(0.5)) }, restoreBoth: () => { losses.restoreBoth() },
      newStore: (home) => { losses.newStore(home) }, twin: (home) => losses.split(home), voidPool: (home) => { losses.voidPool(home) },
    }
  }

  async run (): Promise<void> {
    const { world } = this
    for (const node of world.nodes) await node.start()
    await world.wait(1_000)
    if (this.o.jumps === true) this.jump(this.jumps.pick([2 ** 31, 2 ** 32]) - this.jumps.integer(30))
    this.frames(80)
    await world.wait(6_000)
    for (let i = 0; i < this.o.steps; i++) {
      const action = pickAction(this.random, this.mix.actions)
      await this.actions[action](this.random.integer(2) as Home)
      await this.losses.step()
      if (this.o.jumps === true && this.jumps.chance(0.1)) this.jump(this.jumps.pick([2 ** 30, 2 ** 31, 2 ** 32, 2 ** 33]) - 12 + this.jumps.integer(25))
      await this.revive(false)
      world.check()
      if (world.ledger.violations.length > 0) return
    }
    this.fetches.all()
    await world.wait(1_000)
    await this.losses.step(true)
    await world.calm(() => this.revive(true))
  }

  // --- nodes -----------------------------------------------------------------------------------------------------------

  /** Starts what is down and due, and again what found that its store was rolled back. */
  private async revive (isDue: boolean): Promise<void> {
    const { world } = this
    for (const home of [0, 1] as const) {
      const node = world.nodes[home]
      if (node.process !== undefined && node.rolledBack !== '') { world.note(`${node.o.id} was rolled back: ${node.rolledBack}`); world.doubt(); node.kill() }
      if (node.process !== undefined || !(isDue || this.downs.isOver(node))) continue
      world.note(`start ${node.o.id}${node.rolledBack === '' ? '' : ' with a new identity'}`)
      await node.start()
    }
    const twin = this.losses.twinNode
    if (twin !== undefined && (twin.process === undefined || twin.rolledBack !== '')) {
      twin.kill()
      await twin.start()
    }
  }

  private cut (there: boolean, back: boolean): void {
    const { network, clock } = this.world
    this.world.note(`cut${there ? ' A-B' : ''}${back ? ' B-A' : ''}`)
    if (there) network.cut('A', 'B')
    if (back) network.cut('B', 'A')
    clock.after(this.random.pick([100, 5_000, 40_000]), () => { network.join('A', 'B') })
  }

  private fault (home: Home, faults: Parameters<World['network']['setFaults']>[2]): void {
    const { network, clock, nodes } = this.world
    const { id, peer } = nodes[home].o
    this.world.note(`faults ${id}-${peer} ${JSON.stringify(faults)}`)
    network.setFaults(id, peer, faults)
    clock.after(this.random.pick([500, 5_000]), () => { network.setFaults(id, peer, { loss: 0, duplicate: 0, reorder: 0 }) })
  }

  private frames (count: number): void {
    const { random } = this
    this.world.frames(count, {
      missing: () => random.chance(0.01) ? random.integer(2) : -1,
      ...(this.mix.shortFrames ? { length: () => 1 + random.integer(random.pick([200, 3_968])) } : {}),
    })
  }

  private jump (count: number): void {
    this.world.note(`block numbers jump by ${count}`)
    for (const node of this.world.nodes) node.skipBlocks(count)
  }

  // --- SAEs -------------------------------------------------------------------------------------------------------------

  /** One SAE of a node asks for keys with one or more elsewhere, and perhaps some beside it. */
  private ask (home: Home, isMany = false): void {
    const { random, world } = this
    const { saes, peerSaes } = world.nodes[home].o
    const master = random.pick(saes)
    const slaves = [random.pick(peerSaes)]
    if (random.chance(0.15)) for (const sae of [random.pick(peerSaes), random.pick(saes)]) if (sae !== master && !slaves.includes(sae)) slaves.push(sae)
    const number = isMany ? random.pick([64, 128]) : random.pick([1, 1, 2, 8])
    const twin = this.losses.twinNode
    const node = twin !== undefined && twin.o.id === world.nodes[home].o.id && random.chance(0.5) ? twin : undefined
    world.ask(master, slaves, number, random.pick(SIZES), () => {}, node)
  }

  private askLocal (home: Home): void {
    const { random, world } = this
    const { saes } = world.nodes[home].o
    const master = random.pick(saes)
    world.ask(master, [random.pick(saes.filter((s) => s !== master))], random.pick([1, 4]), random.pick(SIZES))
  }

  /** Until nothing is left, at both ends: then the lanes' last bytes, grants and refusals are exercised. */
  private async drain (home: Home): Promise<void> {
    const { world } = this
    world.note(`drain from ${world.nodes[home].o.id}`)
    let isDry = false
    for (let i = 0; i < 60 && !isDry; i++) {
      const which = i % 3 === 0 ? 1 - home as Home : home
      world.ask(world.nodes[which].o.saes[0]!, [world.nodes[which].o.peerSaes[0]!], 128, this.random.pick([256, 1_024, 8_192]), (a) => { isDry = 'refusal' in a && which === home })
      await world.wait(60)
    }
  }

  get ledger (): Ledger { return this.world.ledger }

  dispose (): void {
    this.losses.twinNode?.dispose()
    this.world.dispose()
  }

  result (): ModelResult {
    const { ledger, log } = this.world
    return { seed: this.o.seed, violations: ledger.violations, delivered: ledger.delivered, fetched: ledger.fetched, refusals: Object.fromEntries(ledger.refusals), log }
  }
}

/** One run; the same options give the same run. */
export const runModel = (options: ModelOptions): Promise<ModelResult> => judged(new PoolModel(options))
