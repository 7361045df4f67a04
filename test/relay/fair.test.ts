import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { quietLog, type Log } from '../../src/kernel/log.js'
import type { MessageName } from '../../src/peer/messages.js'
import { leaseReach } from '../../src/pool/lease-reach.js'
import { RelayAccess } from '../../src/pool/relay-access.js'
import { Rate } from '../../src/pool/rate.js'
import type { BlockRow } from '../../src/pool/rows.js'
import { Allotment } from '../../src/relay/allotment.js'
import { RelayDesk } from '../../src/relay/desk.js'
import { defaultRelayLimits } from '../../src/relay/limits.js'
import type { NeighbourLane, RelayPorts } from '../../src/relay/ports.js'
import { Post } from '../../src/relay/post.js'
import { JobWindow } from '../../src/relay/window.js'
import { balanced, network, sameKeys } from './network.js'

t.setTimeout(120_000)
const JOB = 60_000

interface Lane { freeBytes: number, keptBytes: number, isReady: boolean, takes: boolean, readonly sent: { name: MessageName, body: Record<string, unknown> }[] }

/** This KME is M; its lanes with the named neighbours hold so much. */
const ports = (clock: SimClock, lanes: Readonly<Record<string, Lane>>, log: Log = quietLog): RelayPorts => ({
  self: 'M', clock, log, vault: { sweepRecent: () => {} }, limits: { ...defaultRelayLimits, reserveBytes: 10_000 }, routes: { paths: () => '', mayForward: () => '' }, hybrid: undefined, start: 1,
  neighbour: (kme: string) => {
    const lane = lanes[kme]
    if (lane === undefined) return undefined
    const access = { isReady: lane.isReady, freeBytes: lane.freeBytes, keptBytes: (least: number) => Math.max(least, lane.keptBytes), reachBytes: (bytes: number) => bytes }
    return { access, send: (name: MessageName, body: object) => lane.takes && lane.sent.push({ name, body: body as Record<string, unknown> }) > 0 } as unknown as NeighbourLane
  },
} as unknown as RelayPorts)
const lane = (freeBytes: number): Lane => ({ freeBytes, keptBytes: 0, isReady: true, takes: true, sent: [] })

t.test('when a lane is short, a neighbour gets no more by giving its flows many names', async t => {
  const clock = new SimClock(), z = lane(10_000_000), allotment = new Allotment(ports(clock, { Z: z }))
  for (let i = 0; i < 40; i++) { // X: forty flows, each small; Y: one, smaller than X's sum and greater than each of them.
    allotment.used('X', 'Z', [`s${i}`, 'X', 'M', 'Z', `d${i}`], 10_000)
    if (i % 4 === 0) allotment.used('Y', 'Z', ['Y', 'M', 'Z'], 10_000)
    clock.advance(10)
  }
  t.equal(allotment.offer('X', 'Z', ['fresh', 'X', 'M', 'Z'], JOB), JOB, 'while there is plenty everybody is given')
  z.freeBytes = 10_000 + 2 * JOB
  t.equal(allotment.offer('X', 'Z', ['fresh', 'X', 'M', 'Z'], JOB), 0, 'a new name of the greedy neighbour gets nothing')
  t.equal(allotment.offer('X', 'Z', ['s1', 'X', 'M', 'Z', 'd1'], JOB), 0)
  t.equal(allotment.offer('Y', 'Z', ['Y', 'M', 'Z'], JOB), JOB, 'the other neighbour does')
})

t.test('of the flows of one neighbour none starves', async t => {
  const clock = new SimClock(), allotment = new Allotment(ports(clock, { Z: lane(10_000 + 2 * JOB) }))
  for (let i = 0; i < 20; i++) {
    allotment.used('X', 'Z', ['S', 'X', 'M', 'Z'], 50_000)
    allotment.used('X', 'Z', ['T', 'X', 'M', 'Z'], 1_000)
    allotment.used('Y', 'Z', ['Y', 'M', 'Z'], 60_000)
    clock.advance(20)
  }
  t.equal(allotment.offer('X', 'Z', ['S', 'X', 'M', 'Z'], JOB), 0)
  t.equal(allotment.offer('X', 'Z', ['T', 'X', 'M', 'Z'], JOB), JOB)
})

t.test('what is kept for those who took less is theirs for two seconds: flows that wait for each other on two lanes go on', async t => {
  const clock = new SimClock(), allotment = new Allotment(ports(clock, { Z: lane(10_000 + 2 * JOB) }))
  const greedy = ['X', 'M', 'Z'], modest = ['Y', 'M', 'Z'], ofGreedy = (): number => allotment.offer('X', 'Z', greedy, JOB)
  allotment.used('X', 'Z', greedy, 500_000)
  allotment.used('Y', 'Z', modest, 100_000)
  clock.advance(5_000)
  t.equal(ofGreedy(), 0, 'kept, however long nobody asked')
  clock.advance(1_900)
  t.equal(ofGreedy(), 0)
  allotment.used('Y', 'Z', modest, 1_000)
  clock.advance(1_900)
  t.equal(ofGreedy(), 0, 'the other one does take: kept anew')
  clock.advance(2_000)
  t.equal(ofGreedy(), JOB, 'nobody took it')
  t.equal(allotment.offer('Y', 'Z', modest, JOB), JOB)
  allotment.used('X', 'Z', greedy, JOB)
  t.equal(ofGreedy(), 0, 'then it is kept again')
})

t.test('a flow that found nothing so far has a share of what comes next', async t => {
  const clock = new SimClock(), z = lane(10_000 + 2 * JOB), allotment = new Allotment(ports(clock, { Z: z })), greedy = ['X', 'M', 'Z'], second = ['W', 'X', 'M', 'Z']
  for (let i = 0; i < 20; i++) {
    t.equal(allotment.offer('X', 'Z', greedy, JOB), JOB, 'alone it gets all that comes')
    allotment.used('X', 'Z', greedy, JOB)
    z.freeBytes = 10_000
    clock.advance(500)
    if (i < 19) z.freeBytes = 10_000 + 2 * JOB
  }
  for (const [from, path] of [['X', second], ['Y', ['Y', 'M', 'Z']]] as const) {
    t.equal(allotment.offer(from, 'Z', path, JOB), 0, 'there is nothing')
    z.freeBytes = 10_000 + 2 * JOB
    t.equal(allotment.offer('X', 'Z', greedy, JOB), 0, 'and what comes is not for whoever had all before')
    t.equal(allotment.offer(from, 'Z', path, JOB), JOB)
    allotment.used(from, 'Z', path, JOB)
    z.freeBytes = 10_000
    clock.advance(12_000)
  }
})

t.test('what is set aside is offered to nobody else, and what SAEs keep to no job', async t => {
  const clock = new SimClock(), z = lane(10_000 + 5 * JOB), allotment = new Allotment(ports(clock, { Z: z })), path = ['X', 'M', 'Z']
  for (let i = 0; i < 5; i++) {
    t.equal(allotment.offer('X', 'Z', path, JOB), JOB)
    t.ok(allotment.promises.make(`job${i}`, 'X', 'Z', JOB))
  }
  t.equal(allotment.offer('Y', 'Z', ['Y', 'M', 'Z'], JOB), 0, 'all of it is promised')
  t.equal(allotment.offer('M', 'Z', ['M', 'Z', 'Q'], JOB), 0, 'our own pools take nothing of it either')
  t.equal(allotment.promises.shrink('job0', 20_000), 20_000)
  t.equal(allotment.offer('Y', 'Z', ['Y', 'M', 'Z'], JOB), 40_000, 'a further node can give less: the rest is free')
  const taken = allotment.promises.take('job1')
  t.equal(allotment.promises.of('Z'), 20_000 + 4 * JOB, 'bits that are here and wait for their lease are still set aside')
  taken?.release()
  taken?.release()
  t.equal(allotment.promises.of('Z'), 20_000 + 3 * JOB, 'once')
  z.keptBytes = 10_000 + 3 * JOB
  t.equal(allotment.offer('Y', 'Z', ['Y', 'M', 'Z'], JOB), 0, 'SAEs of the two ends use it')
  clock.advance(defaultRelayLimits.jobMs)
  t.equal(allotment.promises.of('Z'), 0)
})

t.test('SAEs of two neighbours keep two seconds of their use, the relay\'s use aside', async t => {
  const clock = new SimClock(), used = new Rate(clock)
  const access = new RelayAccess({ deps: { clock } } as never, { used, take: () => {} } as never, {} as never, {} as never, () => {})
  for (let i = 0; i < 400; i++) {
    used.add(1_000) // SAEs
    used.add(20_000)
    access.take(20_000, () => {})
    clock.advance(25)
  }
  const kept = access.keptBytes(10_000), ofSaes = 2 * 1_000 * 40
  t.ok(kept > 0.3 * ofSaes && kept < 1.1 * ofSaes, `${kept} bytes`)
  clock.advance(60_000)
  t.equal(access.keptBytes(10_000), 10_000)
})

t.test('a job that is given up frees what was set aside all along its way, for the neighbour that asked only', async t => {
  const clock = new SimClock(), x = lane(0), y = lane(0), z = lane(1_000_000), desk = new RelayDesk(ports(clock, { X: x, Y: y, Z: z }))
  const job = new Uint8Array(16).fill(7), path = ['X', 'M', 'Z', 'Q'], share = 0
  desk.part('X').onMessage('relayAsk', { job, path, hop: 1, share, shares: 1, bytes: JOB })
  t.match(z.sent, [{ name: 'relayAsk', body: { hop: 2, bytes: JOB } }])
  t.equal(desk.promisedBytes('Z'), JOB)
  desk.part('Y').onMessage('relayCancel', { job, path: ['Y', 'M', 'Z', 'Q'], hop: 1, share })
  t.equal(desk.promisedBytes('Z'), JOB, 'a neighbour that did not ask takes nothing back')
  t.throws(() => { desk.part('Y').onMessage('relayCancel', { job, path, hop: 1, share }) }, { code: 'PROTOCOL' })
  desk.part('Z').onMessage('relayReady', { job, path, hop: 1, share, bytes: 24_000 })
  t.match(x.sent, [{ name: 'relayReady', body: { hop: 0, bytes: 24_000 } }])
  t.equal(desk.promisedBytes('Z'), 24_000)
  desk.part('X').onMessage('relayCancel', { job, path, hop: 1, share })
  t.equal(desk.promisedBytes('Z'), 0)
  t.match(z.sent.at(-1), { name: 'relayCancel', body: { hop: 2 } }, 'the next node is told')
  desk.part('X').onMessage('relayCancel', { job, path, hop: 1, share })
  t.equal(z.sent.length, 2, 'a second one goes nowhere')
  desk.stop('')
})

t.test('a message that finds no pad waits; a dead line loses it', async t => {
  const clock = new SimClock(), z = lane(0), aged: [string, number][] = [], post = new Post(clock, (...told) => { aged.push(told) }), way = post.lane('Z', ports(clock, { Z: z }).neighbour('Z')!)
  const say = (share: number): boolean => way.send('relayCancel', { job: new Uint8Array(16), path: ['M', 'Z'], hop: 1, share })
  z.takes = false
  t.same([say(1), say(2)], [true, true])
  z.takes = true
  t.ok(say(3), 'behind those that wait')
  post.flush()
  t.same(z.sent.map(({ body }) => body['share']), [1, 2, 3])
  z.takes = false
  for (let i = 0; i < 512; i++) say(i)
  t.notOk(say(0), 'the queue has a bound')
  clock.advance(3_000)
  z.takes = true
  post.flush('Z')
  t.equal(z.sent.length, 3, 'what is old is dropped')
  t.same(aged, [['Z', 512]], 'and told')
})

t.test('relay messages that waited too long are counted, and the log tells once per connection', async t => {
  const lines: unknown[] = [], clock = new SimClock(), x = lane(0), z = lane(1_000_000)
  const desk = new RelayDesk(ports(clock, { X: x, Z: z }, { ...quietLog, warn: (_message, fields) => { lines.push(fields) } }))
  const ask = (n: number): void => { desk.part('X').onMessage('relayAsk', { job: new Uint8Array(16).fill(n), path: ['X', 'M', 'Z', 'Q'], hop: 1, share: 0, shares: 1, bytes: JOB }) }
  const lose = (first: number): void => {
    z.takes = false
    for (const n of [first, first + 1]) ask(n)
    clock.advance(2_001)
    desk.tick()
  }
  lose(1)
  lose(3)
  t.same([desk.counters.agedMessages, lines], [4, [{ kme: 'Z', messages: 2 }]])
  desk.part('Z').onClosed('')
  lose(5)
  t.same([desk.counters.agedMessages, lines.length], [6, 2])
  desk.stop('')
})

t.test('jobs under way: doubling, halved by a shortage, once for all that met it', async t => {
  const clock = new SimClock(), window = new JobWindow(clock, 64)
  t.equal(window.parts, 4)
  for (let i = 0; i < 28; i++) window.went(1)
  t.equal(window.parts, 32)
  for (let i = 0; i < 10; i++) window.fell()
  t.equal(window.parts, 16)
  t.ok(window.isResting)
  for (let i = 0; i < 16; i++) window.went(1)
  t.equal(window.parts, 16, 'one more in a round')
  for (let i = 0; i < 20; i++) { clock.advance(300); window.fell() }
  t.equal(window.parts, 1)
})

t.test('blocks of short frames: leases reach less', async t => {
  const block = (bytes: number, spent = 0): BlockRow => ({ bytes: bytes + 48, spent }) as BlockRow
  const full = Array.from({ length: 9 }, () => block(63_440)), short = Array.from({ length: 100 }, () => block(960))
  t.equal(leaseReach([full], () => { throw new Error('no need to count') }, 440_000), 440_000)
  t.equal(leaseReach([full], () => 16, 1_000_000), 7 * 63_440)
  t.equal(leaseReach([[block(63_440, 63_000)], full], () => 16, 1_000_000), 440 + 6 * 63_440, 'what is leased already pins its frames')
  t.equal(leaseReach([short, full], () => 16, 60_000), 7 * 960)
  t.equal(leaseReach([short], () => 1, 60_000), 48 * 960, 'a message names so many stretches')
})

t.test('links of short frames: jobs are as small as leases reach, and none is lost', async t => {
  const world = await network(t, { seed: 51, links: [['A', 'B'], ['B', 'C']], relayed: [{ between: ['A', 'C'] }], limits: { maxStockBytes: 200_000, keyTtlMs: 3_600_000 }, stockBytes: 65_536 })
  for (let i = 0; i < 40; i++) {
    for (const [a, b] of [['A', 'B'], ['B', 'C']] as const) world.deliver(a, b, 120, 64)
    await world.wait(250)
  }
  const { counters } = world.at('A').running.relay
  t.ok(counters.jobsDone > 0, `${counters.jobsDone} jobs`)
  t.equal(counters.jobsFailed + world.at('C').running.relay.counters.jobsFailed, 0)
  sameKeys(t, await world.exchange('A', 'C'), 'over short frames')
  balanced(t, world)
})
