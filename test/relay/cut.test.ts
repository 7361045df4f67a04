/** What nodes on both sides of a cut have set aside for jobs that cannot come any more. */
import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import type { MeshWorld } from '../../sim/mesh/world.js'
import { quietLog } from '../../src/kernel/log.js'
import type { MessageName } from '../../src/peer/messages.js'
import { RelayDesk } from '../../src/relay/desk.js'
import { defaultRelayLimits } from '../../src/relay/limits.js'
import type { NeighbourLane, RelayPorts } from '../../src/relay/ports.js'
import { balanced, network, sameKeys } from './network.js'

t.setTimeout(60_000)
const JOB = 60_000, KEEP_ALIVE_MS = 250

interface Said { readonly name: MessageName, readonly body: Record<string, unknown> }
interface Lane { isReady: boolean, leasedBytes: number, readonly said: Said[] }
const lane = (): Lane => ({ isReady: true, leasedBytes: 0, said: [] })

/** The desk of M between X and Z; `down` are neighbours whose link routing calls broken. */
const deskOf = (clock: SimClock, lanes: Readonly<Record<string, Lane>>, down: Set<string>): RelayDesk => new RelayDesk({
  self: 'M', clock, log: quietLog, limits: { ...defaultRelayLimits, reserveBytes: 0 }, hybrid: undefined, start: 1,
  routes: { paths: () => '', mayForward: () => '', isBroken: (nodes: readonly string[]) => nodes.some((node) => down.has(node)) },
  neighbour: (kme: string) => {
    const l = lanes[kme]!
    const access = {
      get isReady () { return l.isReady }, get leasedBytes () { return l.leasedBytes }, freeBytes: 10_000_000, keptBytes: () => 0, reachBytes: (bytes: number) => bytes,
      claim: () => '', store: (_pads: unknown, then: () => void) => { then() }, letGo: () => {}, lease: () => {},
    }
    return { access, send: (name: MessageName, body: object) => l.said.push({ name, body: body as Said['body'] }) > 0 } as unknown as NeighbourLane
  },
} as unknown as RelayPorts)

const path = ['S', 'X', 'M', 'Z', 'T'], share = 0
const jobOf = (n: number): Uint8Array => new Uint8Array(16).fill(n)
const ask = (desk: RelayDesk, n: number): void => { desk.part('X').onMessage('relayAsk', { job: jobOf(n), path, hop: 2, share, shares: 1, bytes: JOB }) }
const bits = (desk: RelayDesk, n: number): void => {
  const frames = Array.from({ length: 15 }, () => JOB / 15)
  desk.part('X').onMessage('relay', { job: jobOf(n), path, hop: 2, share, shares: 1, frames, pads: [{ block: 1, offset: 0, length: JOB }], data: new Uint8Array(JOB) })
}
const names = ({ said }: Lane): string[] => said.map(({ name }) => name)

t.test('the line before a node is cut: what has not come is free, the next nodes are told, once; nothing late revives it', async (t) => {
  for (const how of ['closed', 'announced'] as const) {
    const clock = new SimClock(), x = lane(), z = lane(), down = new Set<string>(), desk = deskOf(clock, { X: x, Z: z }, down)
    const cut = (): void => {
      if (how === 'closed') desk.part('X').onClosed('cut')
      else { down.add('X'); desk.rerouted() }
    }
    ask(desk, 1)
    ask(desk, 2)
    bits(desk, 2) // They are here, and wait for a lease.
    t.equal(desk.promisedBytes('Z'), 2 * JOB)
    cut()
    t.equal(desk.promisedBytes('Z'), JOB, `${how}: what is here goes on`)
    t.match(z.said.slice(2), [{ name: 'relayCancel', body: { job: jobOf(1), path, hop: 3, share } }])
    cut()
    t.equal(z.said.length, 3, 'told once')
    desk.part('Z').onMessage('relayReady', { job: jobOf(1), path, hop: 2, share, bytes: JOB })
    t.same(names(x), [], 'a late answer is not passed on')
    down.clear()
    bits(desk, 1)
    t.match(x.said, [{ name: 'relayFailed', body: { job: jobOf(1), at: 'M', cause: 'stock' } }], 'late bits are not taken')
    t.equal(desk.promisedBytes('Z'), JOB)
    clock.advance(defaultRelayLimits.passMs)
    t.equal(desk.promisedBytes('Z'), 0, 'and freed once')
    desk.stop('')
  }
})

t.test('the line behind a node is cut: whoever asked is told at once, of bits that wait here, too', async (t) => {
  const clock = new SimClock(), x = lane(), z = lane(), desk = deskOf(clock, { X: x, Z: z }, new Set())
  ask(desk, 1)
  ask(desk, 2)
  bits(desk, 2)
  desk.part('Z').onClosed('cut')
  t.equal(desk.promisedBytes('Z'), 0)
  t.match(x.said.map(({ name, body }) => [name, (body['job'] as Uint8Array)[0], body['cause']]).sort(), [['relayFailed', 1, 'unroutable'], ['relayFailed', 2, 'unroutable']])
  clock.advance(20_000)
  t.equal(x.said.length, 2, 'once')
  desk.stop('')
})

/** What each node has set aside for jobs to the next one, and whether the far end awaits any. */
const promised = (world: MeshWorld): number[] => [...['AB', 'BC', 'CD', 'DE'].map((line) => world.at(line[0]!).running.relay.promisedBytes(line[1]!)), awaited(world)]
const awaited = (world: MeshWorld): number =>
  [...(world.at('E').running.relay as unknown as { ends: Map<string, { sink: { arriving: Map<string, unknown> } }> }).ends.values()].reduce((sum, { sink }) => sum + sink.arriving.size, 0)

t.test('a line of five is cut in the middle while jobs are asked for: every node is free when the cut is seen, not when the jobs are over', async (t) => {
  for (const sides of [['CD', 'DC'], ['CD'], ['DC']]) {
    const world = await network(t, { seed: 71, links: [['A', 'B'], ['B', 'C'], ['C', 'D'], ['D', 'E']], relayed: [{ between: ['A', 'E'] }], stockBytes: 262_144, keepAliveMs: KEEP_ALIVE_MS, tickMs: 50 })
    world.at('E').isSilent = true
    for (let i = 0; i < 60 && promised(world).includes(0); i++) await world.run(1, 60)
    t.notOk(promised(world).includes(0), `all keep something: ${promised(world).join()}`)
    for (const [from, to] of sides) world.network.cut(from!, to!)
    await world.wait(3 * KEEP_ALIVE_MS)
    t.same(promised(world), [0, 0, 0, 0, 0], `cut ${sides.join()}`)
    world.at('E').isSilent = false
    for (const [from, to] of sides) world.network.heal(from!, to!)
    await world.run(8, 60)
    sameKeys(t, await world.exchange('A', 'E'), 'after the cut')
    balanced(t, world)
  }
})
