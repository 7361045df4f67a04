import fc from 'fast-check'
import t from 'tap'
import { makeAnnouncement, readAnnouncement, type RecordBody } from '../../src/routing/announcement.js'
import { Database } from '../../src/routing/database.js'
import { packDigests, packUpdate, readPacket } from '../../src/routing/packet.js'
import type { RecordOutcome } from '../../src/routing/intake.js'
import { FloodWorld } from '../../sim/flood/world.js'
import { SimAuthority } from '../../sim/flood/credentials.js'

const authority = new SimAuthority()
const line3 = { nodes: ['a', 'b', 'c'], links: [['a', 'b'], ['b', 'c']] as const }
const settled = (seed: number): FloodWorld => {
  const world = new FloodWorld({ seed, ...line3 })
  world.connectAll()
  world.run(10_000)
  return world
}
const head = { incarnation: 1, sequence: 50, part: 0, parts: 1, lifetimeS: 600 }
const links = (...neighbours: string[]): RecordBody => ({ kind: 'links', capabilities: { transit: true, hybrid: false }, links: neighbours.map((neighbour) => ({ neighbour, state: 'up', stockClass: 20, rateClass: 10 })) })
const record = (origin: string, body: RecordBody, extra: Partial<typeof head> = {}, signer = origin) => makeAnnouncement({ ...head, origin, ...extra }, body, authority.signer(signer))

/** What `a` makes of a record that `b` brings. */
const outcomeOf = (world: FloodWorld, bytes: Uint8Array, extra: { ageMs?: number, hops?: number } = {}): RecordOutcome => {
  const { outcomes } = world.at('a').flood.intake, before = Float64Array.from(outcomes.values)
  world.at('a').receive('b', packUpdate([{ bytes, ageMs: 1, hops: 1, ...extra }]).packet)
  world.run(20)
  return outcomes.names.find((name) => outcomes.get(name) > before[outcomes.slot(name)]!)!
}

t.test('a record is taken once, in order, and from nobody but its origin', async (t) => {
  const world = settled(1)
  const good = record('c', links('b', 'z'))
  const forged = good.bytes.slice()
  forged[forged.length - 1]! ^= 1
  t.equal(outcomeOf(world, forged), 'forged')
  t.match(world.alarms.at(-1), { at: 'a', event: 'routing.forged', about: 'b' })
  t.equal(outcomeOf(world, record('c', links('b', 'z'), {}, 'b').bytes), 'uncertified', 'b signs for c with its own key')
  t.equal(outcomeOf(world, good.bytes), 'accepted')
  t.equal(outcomeOf(world, good.bytes), 'repeated')
  t.equal(outcomeOf(world, record('c', links('b'), { sequence: 49 }).bytes), 'stale', 'replayed')
  t.equal(outcomeOf(world, record('c', links('b'), { incarnation: 0, sequence: 99 }).bytes), 'stale', 'of a former start')
  t.equal(outcomeOf(world, record('c', links('b'), { sequence: 51 }).bytes, { ageMs: 600_000 }), 'expired')
  t.equal(outcomeOf(world, record('c', links('b'), { sequence: 51 }).bytes, { hops: 255 }), 'expired')
  t.equal(outcomeOf(world, new Uint8Array([1, 2, 3])), 'malformed')
  t.equal(outcomeOf(world, record('stranger', links('a')).bytes), 'uncertified')
  const certificateOfC: RecordBody = { kind: 'certificate', der: authority.signer('c').certificate }
  t.equal(outcomeOf(world, record('stranger', certificateOfC).bytes), 'forged', 'a certificate that is not the signer\'s')
  t.equal(outcomeOf(world, record('stranger', certificateOfC, {}, 'c').bytes), 'certificateRefused', 'a certificate under a name that is not its own')
  const unsigned = record('c', certificateOfC, { sequence: 70 }).bytes.slice()
  unsigned[unsigned.length - 1]! ^= 1
  t.equal(outcomeOf(world, unsigned), 'forged', 'a certificate record that its key did not sign')
  t.ok(world.at('a').database.find('stranger', 'links') === undefined)
})

t.test('a KME that is new here while its OCSP responder is asked: known as soon as there is an answer; without one it is refused', async (t) => {
  const world = new FloodWorld({ seed: 23, ...line3 }), a = world.at('a').flood, b = world.at('b').flood
  world.authority.pending.add('c')
  world.connectAll()
  world.run(3_000)
  t.same([a, b].map(({ database }) => database.find('c', 'links')), [undefined, undefined])
  t.ok(b.intake.outcomes.get('pending') > 0)
  world.authority.pending.clear()
  world.run(1_500)
  for (const { database } of [a, b]) t.ok(database.find('c', 'links') !== undefined && database.find('c', 'certificate') !== undefined, 'all of it')
  t.equal(b.intake.outcomes.get('certificateRefused'), 0)
  world.authority.pending.add('stranger')
  t.equal(outcomeOf(world, record('stranger', { kind: 'certificate', der: authority.signer('stranger').certificate }).bytes), 'pending')
  world.run(20_000)
  t.equal(a.intake.outcomes.get('certificateRefused'), 1, 'not for ever')
})

t.test('who brings an old record lacks the new one, and gets it', async (t) => {
  const world = settled(17)
  outcomeOf(world, record('c', links('b', 'z')).bytes)
  world.run(5_000)
  const sent: string[] = []
  world.tap = (from, _to, packet) => {
    const message = readPacket(packet)
    if (from === 'a' && message.type === 'update') sent.push(...message.records.map(({ bytes }) => readAnnouncement(bytes)).map((r) => `${r.origin} ${r.incarnation}.${r.sequence}`))
    return [packet]
  }
  const now = world.at('a').database.find('c', 'links')!.record
  outcomeOf(world, record('c', links('b'), { sequence: 1 }).bytes)
  world.run(5_000)
  t.same(sent, [`c ${now.incarnation}.${now.sequence}`])
})

t.test('a lie about a link changes nothing unless both ends tell it', async (t) => {
  const world = settled(2)
  t.equal(outcomeOf(world, record('c', links('a', 'b')).bytes), 'accepted')
  const answer = world.at('a').paths('c')
  t.ok(answer.ok && answer.paths[0]!.nodes.join('') === 'abc', 'the link a - c that only c announces is not used')
  t.equal(world.at('a').topology().links.find((l) => l.a === 'a' && l.b === 'c')?.state, 'one-sided')
})

t.test('what died of age does not live again, and no age that somebody tells makes it live longer', async (t) => {
  const world = settled(3)
  const ghost = authority.signer('ghost')
  const certificate = record('ghost', { kind: 'certificate', der: ghost.certificate }, { lifetimeS: 60 }), old = record('ghost', links('a'), { lifetimeS: 60 })
  t.equal(outcomeOf(world, certificate.bytes), 'accepted')
  t.equal(outcomeOf(world, old.bytes, { ageMs: 20_000 }), 'accepted')
  world.run(30_000)
  t.equal(outcomeOf(world, old.bytes, { ageMs: 0 }), 'repeated', 'somebody says that it is fresh')
  world.run(20_000)
  t.ok(world.at('a').database.find('ghost', 'links'), 'the youngest copy counts')
  world.run(12_000)
  t.notOk(world.at('a').database.find('ghost', 'links'), 'but not beyond its life since it came')
  t.equal(outcomeOf(world, old.bytes, { ageMs: 0 }), 'stale')
})

t.test('a KME that announces too much is cut off, and its neighbours keep working', async (t) => {
  const world = settled(4)
  let limited = 0
  for (let sequence = 100; sequence < 900; sequence++) if (outcomeOf(world, record('c', links('b'), { sequence }).bytes) === 'limited') limited++
  t.ok(limited > 100, `${limited} of 800`)
  t.ok(world.alarms.some((a) => a.event === 'routing.flooding' && a.about === 'c'))
  t.equal(outcomeOf(world, record('b', links('a', 'c'), { sequence: 100 }).bytes), 'accepted')
  world.run(60_000)
  t.equal(outcomeOf(world, record('c', links('b'), { incarnation: 1_000_000 }).bytes), 'accepted', 'after a while again')
})

t.test('two records with one number: an alarm, and everybody keeps the same', async (t) => {
  const one = record('c', links('b')), other = record('c', links('b', 'q'))
  const kept = [[one, other], [other, one]].map((order, i) => {
    const world = settled(5 + i)
    for (const r of order) outcomeOf(world, r.bytes)
    t.ok(world.alarms.some((a) => a.at === 'a' && a.event === 'routing.identityTwice' && a.about === 'c'))
    return Buffer.from(world.at('a').database.find('c', 'links')!.record.hash).toString('hex')
  })
  t.equal(kept[0], kept[1])
})

t.test('an own record from a former life, with greater numbers, is overtaken; one that keeps coming is an alarm', async (t) => {
  const world = settled(7)
  t.equal(outcomeOf(world, record('a', links('b'), { incarnation: 900, sequence: 7 }).bytes), 'accepted')
  const own = world.at('a').database.find('a', 'links')!.record
  t.ok(own.incarnation === 901)
  world.run(3_000)
  t.equal(world.at('c').database.find('a', 'links')!.record.incarnation, 901, 'the network hears it')
  t.notOk(world.alarms.some((a) => a.event === 'routing.identityTwice'))
  for (let i = 0; i < 4; i++) outcomeOf(world, record('a', links('b'), { incarnation: 2_000 * (i + 1) }).bytes)
  t.ok(world.alarms.some((a) => a.event === 'routing.identityTwice' && a.about === 'a'))
  const before = world.at('a').database.find('a', 'links')!.record.incarnation
  const forged = record('a', links('b'), { incarnation: 1_000_000 }, 'b')
  t.equal(outcomeOf(world, forged.bytes), 'uncertified', 'but not by who has not our key')
  t.equal(world.at('a').database.find('a', 'links')!.record.incarnation, before)
})

t.test('a revoked KME disappears with its SAEs, everywhere, and cannot come back', async (t) => {
  const world = settled(9)
  world.at('c').serve(['sae-c'])
  world.run(5_000)
  t.equal(world.at('a').locate('sae-c'), 'c')
  world.authority.revoke('c')
  for (const kme of ['a', 'b']) world.at(kme).recheck()
  world.run(10_000)
  t.equal(world.at('a').locate('sae-c'), undefined)
  t.same(world.at('a').paths('c').ok, false)
  world.cut('b', 'c')
  world.heal('b', 'c')
  world.run(100_000)
  t.equal(world.at('b').database.find('c', 'links'), undefined)
  t.ok(world.at('b').flood.intake.outcomes.get('certificateRefused') > 0)
})

t.test('an SAE of two KMEs stays with the first, or where the configuration says; it moves when the first gives it up', async (t) => {
  const world = new FloodWorld({ seed: 11, nodes: ['a', 'b', 'c'], links: [['a', 'b'], ['b', 'c']], options: { pins: new Map([['pinned', 'c']]) } })
  world.connectAll()
  world.run(1_000)
  world.at('b').serve(['x', 'pinned'])
  world.run(5_000)
  world.at('c').serve(['x', 'pinned'])
  world.run(5_000)
  t.equal(world.at('a').locate('x'), 'b')
  t.equal(world.at('a').locate('pinned'), 'c')
  t.same(world.at('a').saesOf('c'), ['pinned'])
  t.ok(world.alarms.some((alarm) => alarm.at === 'a' && alarm.event === 'routing.saeClaimedTwice' && alarm.about === 'x'))
  world.at('b').serve([])
  world.run(5_000)
  t.equal(world.at('a').locate('x'), 'c')
})

t.test('empty digests asked again and again cost no more than the pace of one neighbour', async (t) => {
  const world = settled(13)
  world.resetTraffic()
  for (let i = 0; i < 500; i++) {
    for (const packet of packDigests([], true)) world.at('a').receive('b', packet)
    world.run(20)
  }
  t.ok(world.traffic.get('a')!.packets < 200, `${world.traffic.get('a')!.packets} packets in 10 s`)
})

t.test('the order in which records come does not matter', async (t) => {
  const pool = ['a', 'b', 'c'].flatMap((origin) => [1, 2, 3].flatMap((sequence) => [record(origin, links(`n${sequence}`), { sequence }), record(origin, { kind: 'saes', saes: [`s${sequence}`] }, { sequence: sequence + 10 })]))
  fc.assert(fc.property(fc.shuffledSubarray(pool, { minLength: pool.length }), fc.shuffledSubarray(pool, { minLength: pool.length }), (one, other) => {
    const digests = [one, other].map((order) => {
      const database = new Database()
      for (const r of order) if (['new', 'newer'].includes(database.standing(r))) database.put(r, 0, 0, 0, 'x')
      return Buffer.from(database.digest()).toString('hex')
    })
    const newest = new Database()
    for (const r of pool.filter(({ sequence }) => sequence === 3 || sequence === 13)) newest.put(r, 0, 0, 0, 'x')
    return digests[0] === digests[1] && digests[0] === Buffer.from(newest.digest()).toString('hex')
  }))
  t.pass()
})

t.test('each record crosses a link at most once in each direction', async (t) => {
  const crossings = new Map<string, number>()
  const world = new FloodWorld({ seed: 15, nodes: ['a', 'b', 'c', 'd'], links: [['a', 'b'], ['b', 'c'], ['c', 'd'], ['d', 'a'], ['a', 'c']] })
  world.connectAll()
  world.run(10_000)
  world.tap = (from, to, packet) => {
    const message = readPacket(packet)
    if (message.type === 'update') for (const { bytes } of message.records) {
      const { origin, incarnation, sequence } = readAnnouncement(bytes), key = `${from} ${to} ${origin} ${incarnation} ${sequence}`
      crossings.set(key, (crossings.get(key) ?? 0) + 1)
    }
    return [packet]
  }
  world.at('a').serve(['one'])
  world.cut('c', 'd')
  world.run(5_000)
  t.ok(crossings.size > 5)
  t.same([...crossings].filter(([, count]) => count > 1), [])
})
