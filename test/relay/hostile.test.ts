import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import type { MeshWorld } from '../../sim/mesh/world.js'
import type { Body } from '../../src/peer/messages.js'
import { Allotment } from '../../src/relay/allotment.js'
import { AutomaticPools, type AutomaticLimits } from '../../src/relay/automatic.js'
import { defaultRelayLimits } from '../../src/relay/limits.js'
import type { RelayPorts } from '../../src/relay/ports.js'
import type { RelayedEntry } from '../../src/relay/pools.js'
import { Promises } from '../../src/relay/promises.js'
import { polyHash } from '../peer/reference-tag.js'
import { balanced, network } from './network.js'

t.setTimeout(60_000)
const CONFIRM_BYTES = 48

/** What B knows of a job that it hands on to `next`: the bits themselves, under its own pads. */
const bitsOf = (world: MeshWorld, next: string, { pads, data }: Body<'relay'>): Uint8Array => {
  const { core } = world.at('B').running.pools.get(next)!, bits = data.slice()
  let at = 0
  for (const { block, offset, length } of pads) {
    const bytes = Buffer.concat(core.framesOf(block).map((f) => world.payloads!.get(f.id)!))
    for (let i = 0; i < length; i++) bits[at++]! ^= bytes[offset + i]!
  }
  return bits
}

t.test('a node that changes bits, and the confirmation by just as much, so that an answer without a challenge would fit: found out', async t => {
  const world = await network(t, { seed: 71, links: [['A', 'B'], ['B', 'C']], relayed: [{ between: ['A', 'C'] }], keepPayloads: true })
  let changed = 0
  world.at('B').evil = (name, body, to) => {
    if (name !== 'relay') return body
    const job = body as Body<'relay'>, bits = bitsOf(world, to, job), at = bits.length - CONFIRM_BYTES
    const m = Buffer.from(JSON.stringify([Buffer.from(job.job).toString('hex'), 0, 1, null, job.path, job.frames])), prefix = Buffer.alloc(16)
    prefix.writeUInt8(1)
    prefix.writeBigUInt64LE(BigInt(m.length), 8)
    const k1 = bits.subarray(at, at + 16), hashOf = (): Uint8Array => polyHash(k1, Buffer.concat([prefix, m, bits.subarray(0, at)]))
    const before = hashOf()
    bits[7]! ^= 1
    job.data[7]! ^= 1
    hashOf().forEach((byte, i) => { for (const k of [16, 32]) job.data[at + k + i]! ^= byte ^ before[i]! }) // P is linear: for both roles alike.
    changed++
    return body
  }
  await world.run(6, 60)
  t.ok(changed > 0, `${changed} jobs changed`)
  const ends = ['A', 'C'].map((kme) => world.at(kme).running.relay.counters)
  t.same(ends.map((c) => [c.jobsDone, c.arrivedJobs]), [[0, 0], [0, 0]], 'nothing of it is taken')
  t.ok(ends.some((c) => c.lyingPaths > 0), 'and the path is named')
  balanced(t, world)
})

t.test('who knows the ID of a job and is not on its way shrinks and ends no promise; who is, answers once', async t => {
  const world = await network(t, { seed: 72, links: [['A', 'B'], ['B', 'C'], ['B', 'E']], relayed: [] })
  const desk = world.at('B').running.relay, job = new Uint8Array(16).fill(3), path = ['A', 'B', 'C'], share = 0
  await world.run(4, 60)
  desk.part('A').onMessage('relayAsk', { job, path, hop: 1, share, shares: 1, bytes: 8_192 })
  t.equal(desk.promisedBytes('C'), 8_192)
  const aside = ['A', 'B', 'E']
  desk.part('E').onMessage('relayReady', { job, path: aside, hop: 1, share, bytes: 8 })
  desk.part('E').onMessage('relayFailed', { job, path: aside, hop: 1, share, at: 'E', cause: 'stock' })
  desk.part('E').onMessage('relayCancel', { job, path: ['E', 'B', 'C'], hop: 1, share })
  t.equal(desk.promisedBytes('C'), 8_192, 'over another way, or of another one\'s: nothing')
  desk.part('C').onMessage('relayReady', { job, path, hop: 1, share, bytes: 4_096 })
  desk.part('C').onMessage('relayReady', { job, path, hop: 1, share, bytes: 8 })
  t.equal(desk.promisedBytes('C'), 4_096, 'the first answer counts')
  desk.part('C').onMessage('relayFailed', { job, path, hop: 1, share, at: 'C', cause: 'stock' })
  t.equal(desk.promisedBytes('C'), 0)
})

t.test('a promise is answered once', async t => {
  const promises = new Promises(new SimClock(), defaultRelayLimits.jobMs, 4)
  promises.make('job', 'A', 'C', 100)
  t.same([promises.shrink('job', 50), promises.shrink('job', 8), promises.of('C')], [50, 0, 50])
  promises.stop()
})

t.test('no more is promised than leases of the lane reach', async t => {
  const lane = { isReady: true, freeBytes: 1_000_000, keptBytes: () => 0, reachBytes: (bytes: number) => Math.min(bytes, 8_192) }
  const allotment = new Allotment({ self: 'M', clock: new SimClock(), limits: defaultRelayLimits, neighbour: () => ({ access: lane }) } as unknown as RelayPorts)
  t.equal(allotment.offer('X', 'Z', ['X', 'M', 'Z'], 60_000), 8_192)
})

t.test('one KME takes four pools by itself, and all of them leave a quarter of the room to our own SAEs', async t => {
  const list: RelayedEntry[] = []
  const pools = {
    list: () => list, with: (kme: string) => list.filter((entry) => entry.remote === kme), find: () => undefined,
    add: (remote: string, cls: object) => { list.push({ remote, cls, isKept: false } as RelayedEntry) },
  }
  const limits: AutomaticLimits = { open: 'onDemand', accept: true, kmes: [], paths: 1, hybrid: false, stockBytes: 1, poolsMax: 16, idleMs: 1_000 }
  const automatic = new AutomaticPools(limits, { self: 'A', clock: new SimClock(), pools, say: () => {}, ways: () => [['A', 'B', 'C']], openChannel: () => {} } as never)
  const invited = (kme: string): number => Array.from({ length: 8 }, (_, i) => automatic.invite(kme, { paths: 1 + i, hybrid: false })).filter((why) => why === '').length
  t.match(['X', 'Y', 'Z', 'Q'].map(invited), [4, 4, 4, 0])
  t.ok(automatic.wanted('R', {}), 'our own may')
  t.notOk(automatic.wanted('X', {}), 'but not a fifth with X')
})
