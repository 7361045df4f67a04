import { KmeError } from '../../src/kernel/errors.js'
import { accountOf } from '../../src/pool/accounts.js'
import { MeshWorld } from '../mesh/world.js'
import { sumOf, type LiveNetwork, type Outcome, type Sample } from './live.js'
import type { Fault, Scenario } from './scenario.js'
import { bitsPerS } from './scenario.js'

const STEP_MS = 50
const FRAME_BITS = 3_968 * 8
const READY_MS = 120_000

/** A scenario in one process: whole KMEs in simulated time, under the scenario's seed. */
export class SimulatedNetwork implements LiveNetwork {
  private readonly world: MeshWorld
  /** Frames per second of each link, and what of a frame is due. */
  private readonly flows: { readonly between: readonly [string, string], rateBps: number, isUp: boolean, due: number }[]

  private constructor (private readonly scenario: Scenario) {
    const hybrid = scenario.relayed.find((r) => r.hybrid)
    if (scenario.automatic?.hybrid === true) throw new KmeError('CONFIG_INVALID', 'hybrid pools need mode: processes')
    if (hybrid !== undefined) throw new KmeError('CONFIG_INVALID', `hybrid pools (${hybrid.between.join(' - ')}) need mode: processes`)
    const { automatic } = scenario
    this.world = new MeshWorld({
      ...automatic === undefined ? {} : { automatic: () => ({ accept: true, ...automatic, hybrid: false }) },
      seed: scenario.seed, links: scenario.links.map((l) => l.between), relayed: scenario.relayed, limits: { maxStockBytes: 2 << 20 }, relayLimits: { reserveBytes: 32_768 },
    })
    this.flows = scenario.links.map(({ between, rateBps }) => ({ between, rateBps, isUp: true, due: 0 }))
  }

  static async start (scenario: Scenario): Promise<SimulatedNetwork> {
    const network = new SimulatedNetwork(scenario)
    await network.world.startAll()
    return network
  }

  nowMs (): number { return this.world.clock.now() }

  async wait (ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      const step = Math.min(left, STEP_MS)
      for (const flow of this.flows) this.flow(flow, step)
      await this.world.wait(step)
    }
  }

  private flow (flow: SimulatedNetwork['flows'][number], ms: number): void {
    flow.due += flow.isUp ? flow.rateBps * ms / 1_000 / FRAME_BITS : 0
    const count = Math.floor(flow.due)
    flow.due -= count
    if (count > 0) this.world.deliver(flow.between[0], flow.between[1], count)
  }

  async ready (): Promise<void> {
    const endMs = this.nowMs() + READY_MS
    for (;;) {
      const empty = [...this.world.kmes].flatMap(([id, kme]) => kme.process === undefined ? [id] : [...kme.process.pools, ...kme.process.relayed].filter(([, pool]) => pool.lane.freeBytes(true) < 2_048).map(([other]) => `${id} - ${other}`))
      if (empty.length === 0) return
      if (this.nowMs() > endMs) throw new KmeError('INTERNAL', `no key within ${READY_MS / 1_000} simulated seconds: ${empty.slice(0, 8).join(', ')}`)
      await this.wait(250)
    }
  }

  exchange (from: string, to: string, keys: number): Promise<Outcome> {
    const startMs = this.nowMs()
    return new Promise((resolve) => {
      const done = (why: string): void => { resolve({ why, keys, wholeMs: this.nowMs() - startMs }) }
      const cancel = this.world.clock.after(15_000, () => { done('no answer') })
      const end = (why: string): void => { cancel(); done(why) }
      const master = this.world.at(from), slave = this.world.at(to)
      if (master.process === undefined) { end('enc: the KME does not run'); return }
      master.enc({ caller: from.toLowerCase(), slave: to.toLowerCase(), number: keys }, (first) => {
        if ('refusal' in first) { end(`enc ${first.refusal.code}`); return }
        if (slave.process === undefined) { end('dec: the KME does not run'); return }
        slave.dec({ caller: to.toLowerCase(), master: from.toLowerCase(), keyIds: first.keys.map((k) => k.id) }, (second) => {
          if ('refusal' in second) end(`dec ${second.refusal.code}`)
          else end(first.keys.every((k, i) => second.keys[i]?.id === k.id && second.keys[i]?.key === k.key) ? '' : 'the keys differ')
        })
      })
    })
  }

  async fault (f: Fault): Promise<void> {
    const { world } = this
    const flowOf = (between: readonly [string, string]) => this.flows.find((flow) => flow.between.includes(between[0]) && flow.between.includes(between[1]))!
    if ('cut' in f) flowOf(f.cut).isUp = false
    else if ('restore' in f) flowOf(f.restore).isUp = true
    else if ('eavesdrop' in f) flowOf(f.eavesdrop).isUp = f.qber < 0.11 // Above, the devices make no key.
    else if ('slow' in f) flowOf(f.slow).rateBps = bitsPerS(f.rate)
    else if ('partition' in f) world.cut(f.partition[0], f.partition[1], f.oneWay === true)
    else if ('heal' in f) world.heal(f.heal[0], f.heal[1])
    else if ('kill' in f) world.at(f.kill).kill()
    else if ('start' in f) await world.at(f.start).start()
    else throw new KmeError('CONFIG_INVALID', 'copies of stores need mode: processes (the model of two KMEs restores stores in simulation: npm run sim -- check --restores)')
  }

  sample (): Promise<Sample[]> {
    return Promise.resolve([...this.world.kmes].map(([kme, { process }]) => {
      if (process === undefined) return { kme, isUp: false, stock: {}, account: {}, pools: {}, differenceBits: 0 }
      const pools = [...process.pools.values(), ...process.relayed.values()], views = pools.map((pool) => accountOf(pool))
      const byPool = Object.fromEntries(views.map((view) => [view.pool, Object.fromEntries(Object.entries(view.bits).map(([what, bits]) => [what, bits / 8]))]))
      const differenceBits = views.reduce((sum, view) => sum + Math.abs(view.differenceBits), 0)
      return { kme, isUp: true, stock: Object.fromEntries(pools.map((pool) => [pool.core.pool, pool.lane.freeBytes(pool.core.ready)])), account: sumOf(Object.values(byPool)), pools: byPool, differenceBits }
    }))
  }

  hops (): Promise<Readonly<Record<string, number>>> {
    return Promise.resolve(Object.fromEntries(this.scenario.relayed.map(({ between: [a, b] }) => {
      const ways = this.world.at(a).process?.routes.relay.paths(b, { disjoint: 1, excludeHops: [], avoid: [] }) ?? ''
      return [`${a} ${b}`, typeof ways === 'string' ? 0 : ways[0]!.length - 1]
    })))
  }

  stop (): Promise<void> {
    for (const [id, kme] of this.world.kmes) if (kme.bugs.length > 0) throw new Error(`${id}: ${kme.bugs[0]!}`)
    this.world.dispose()
    return Promise.resolve()
  }
}
