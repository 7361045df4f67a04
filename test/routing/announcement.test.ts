import fc from 'fast-check'
import t from 'tap'
import { amountOf, classOf, dealSaes, isNewer, makeAnnouncement, readAnnouncement, RECORD_BYTES_MAX, saePart, type AnnouncedLink, type RecordBody } from '../../src/routing/announcement.js'
import { Malformed } from '../../src/routing/bytes.js'
import { steadyClass, SmoothLink, defaultDamping } from '../../src/routing/smoothing.js'
import { packCheck, packDigests, packUpdate, PACKET_BYTES_MAX, readPacket } from '../../src/routing/packet.js'
import { SimAuthority } from '../../sim/flood/credentials.js'

const authority = new SimAuthority()
const head = { origin: 'kme-a', incarnation: 3, sequence: 7, part: 0, parts: 1, lifetimeS: 600 }
const make = (body: RecordBody, extra: Partial<typeof head> = {}) => makeAnnouncement({ ...head, ...extra }, body, authority.signer('kme-a'))
const id = fc.stringMatching(/^[A-Za-z0-9\-._~:@]{1,64}$/)
const link = fc.record({ neighbour: id, state: fc.constantFrom('up' as const, 'degraded' as const, 'down' as const), stockClass: fc.nat(63), rateClass: fc.nat(63) })
const links = fc.uniqueArray(link, { selector: (l) => l.neighbour, maxLength: 20 }).map((all): readonly AnnouncedLink[] => all.filter((l) => l.neighbour !== 'kme-a'))

t.test('what is written is read, in one form whatever the order', async (t) => {
  fc.assert(fc.property(links, fc.boolean(), fc.boolean(), (all, transit, hybrid) => {
    const one = make({ kind: 'links', capabilities: { transit, hybrid }, links: all }), other = make({ kind: 'links', capabilities: { transit, hybrid }, links: [...all].reverse() })
    const { body } = one
    return Buffer.compare(one.bytes, other.bytes) === 0 && body.kind === 'links' && body.capabilities.transit === transit && body.capabilities.hybrid === hybrid && body.links.length === all.length
      && all.every((l) => body.links.some((m) => m.neighbour === l.neighbour && m.state === l.state && m.stockClass === l.stockClass && m.rateClass === l.rateClass))
  }))
  t.pass()
})

t.test('any changed, missing or added octet is refused or breaks the signature', async (t) => {
  const record = make({ kind: 'links', capabilities: { transit: true, hybrid: false }, links: [{ neighbour: 'kme-b', state: 'up', stockClass: 20, rateClass: 10 }] })
  const credential = authority.judge(authority.signer('kme-a').certificate)
  if ('refused' in credential) return t.fail()
  const holds = (bytes: Uint8Array): boolean => {
    try {
      const read = readAnnouncement(bytes)
      return credential.verify(read.signed, read.signature)
    } catch (error) { if (error instanceof Malformed) return false; throw error }
  }
  t.ok(holds(record.bytes))
  for (let at = 0; at < record.bytes.length; at++) {
    for (const bit of [1, 0x80]) {
      const changed = record.bytes.slice()
      changed[at]! ^= bit
      if (holds(changed)) t.fail(`octet ${at} changed`)
    }
    if (holds(record.bytes.slice(0, at))) t.fail(`cut at ${at}`)
  }
  t.notOk(holds(new Uint8Array([...record.bytes, 0])))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => !holds(bytes)))
})

t.test('bounds: size, names out of order, a link to itself, SAEs of another part, lifetimes', async (t) => {
  const bytes = make({ kind: 'saes', saes: ['x1', 'x2'] }).bytes
  const at = Buffer.from(bytes).indexOf('x1')
  const swapped = bytes.slice()
  swapped[at + 1] = 0x33 // x3 before x2
  t.throws(() => readAnnouncement(swapped), Malformed)
  t.throws(() => readAnnouncement(new Uint8Array(RECORD_BYTES_MAX + 1)), Malformed)
  t.throws(() => make({ kind: 'links', capabilities: { transit: true, hybrid: false }, links: [{ neighbour: 'kme-a', state: 'up', stockClass: 1, rateClass: 1 }] }), Malformed)
  t.throws(() => make({ kind: 'saes', saes: ['x1', 'x2', 'x3', 'x4'] }, { parts: 4, part: 1 }), Malformed)
  t.throws(() => make({ kind: 'saes', saes: [] }, { lifetimeS: 1 }), Malformed)
  t.throws(() => make({ kind: 'certificate', der: new Uint8Array(9_000) }), Malformed)
})

t.test('SAEs are dealt into parts that fit, and one more changes one part', async (t) => {
  const saes = Array.from({ length: 5_000 }, (_, i) => `urn:example:sae-number-${i}`)
  const parts = dealSaes(saes)!, more = dealSaes([...saes, 'urn:example:one-more'])!
  t.equal(parts.flat().length, 5_000)
  for (const [part, bucket] of parts.entries()) make({ kind: 'saes', saes: bucket }, { part, parts: parts.length })
  t.equal(more.filter((bucket, i) => bucket.length !== parts[i]!.length).length, 1)
  t.ok(Array.from({ length: 1_000 }, (_, i) => saePart(`sae-${i}`, 16)).every((part) => part >= 0 && part < 16))
  t.equal(dealSaes(Array.from({ length: 100_000 }, (_, i) => `urn:a-rather-long-name-of-an-sae-that-takes-space:${i}`)), undefined)
})

t.test('order is incarnation, then sequence', async (t) => {
  t.ok(isNewer({ incarnation: 2, sequence: 1 }, { incarnation: 1, sequence: 9 }))
  t.ok(isNewer({ incarnation: 1, sequence: 2 }, { incarnation: 1, sequence: 1 }))
  t.notOk(isNewer({ incarnation: 1, sequence: 1 }, { incarnation: 1, sequence: 1 }))
  t.notOk(isNewer({ incarnation: 1, sequence: 9 }, { incarnation: 2, sequence: 1 }))
})

t.test('an amount that swings around an edge keeps its class; a real change or nothing left does not', async (t) => {
  let klass = classOf(1_100)
  const edge = klass
  for (const amount of [1_000, 1_030, 900, 1_100, 1_400, 780]) t.equal(klass = steadyClass(amount, klass), edge)
  t.equal(steadyClass(0, klass), 0)
  t.equal(steadyClass(5_000, klass), classOf(5_000))
  t.equal(steadyClass(300, klass), classOf(300))
  t.ok([1, 2, 3, 1_000, 2 ** 40].every((amount) => amountOf(classOf(amount)) <= amount && amount < 2 * amountOf(classOf(amount))))
})

t.test('a link that fails is told at once; it must be well for longer the more often it failed', async (t) => {
  const smooth = new SmoothLink('kme-b', defaultDamping), good = { stockBytes: 1_000, bytesPerS: 10, state: 'up' } as const, bad = { ...good, state: 'down' } as const
  t.equal(smooth.report(good, 0), 'state', 'the first time at once')
  const waits: number[] = []
  let now = 1_000
  for (let fall = 0; fall < 8; fall++) {
    t.equal(smooth.report(bad, now), 'state')
    t.equal(smooth.report(good, now += 100), '', 'not yet')
    const since = now
    while (smooth.view.state !== 'up' && now - since < 100_000) smooth.tick(now += 50)
    waits.push(now - since)
    t.equal(smooth.view.state, 'up')
    now += 500
  }
  t.same(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
  now += 400_000
  smooth.report(bad, now)
  smooth.report(good, now += 100)
  now += 2_000
  t.ok(smooth.tick(now), 'forgiven')
})

t.test('packets are read as they were written, within their bound; rubbish is refused', async (t) => {
  const record = make({ kind: 'saes', saes: ['x1'] })
  const many = Array.from({ length: 400 }, () => ({ bytes: record.bytes, ageMs: 12.2, hops: 3 }))
  const { packet, count } = packUpdate(many)
  t.ok(packet.length <= PACKET_BYTES_MAX && count < many.length && count > 100)
  const read = readPacket(packet)
  t.ok(read.type === 'update' && read.records.length === count && read.records[0]!.ageMs === 13 && read.records[0]!.hops === 3)
  const origins = Array.from({ length: 900 }, (_, i) => ({ origin: `kme-${String(i).padStart(4, '0')}`, records: [{ kind: 2, part: 0, incarnation: 2 ** 40, sequence: i, check: 0xdeadbeef }, { kind: 3, part: 1, incarnation: 1, sequence: i, check: 1 }] }))
  const digests = packDigests(origins, true).map(readPacket)
  t.ok(digests.length > 1 && digests.every((d) => d.type === 'digest' && d.wantsAnswer))
  t.same(digests.flatMap((d) => d.type === 'digest' ? d.origins : []), origins)
  t.same(digests.map((d) => d.type === 'digest' ? d.from : '').slice(1), digests.map((d) => d.type === 'digest' ? d.to : '').slice(0, -1), 'without gaps')
  const check = readPacket(packCheck(new Uint8Array(16).fill(9)))
  t.ok(check.type === 'check' && check.hash[15] === 9)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => { try { readPacket(bytes); return true } catch (error) { return error instanceof Malformed } }))
})
