/** Makes the vectors of docs/relay-protocol.md (test/vectors/relay.json, link-state.json) from fixed inputs. */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { packBody, kindOf } from '../../src/peer/body.js'
import type { Body, MessageName } from '../../src/peer/messages.js'
import { relayLink } from '../../src/relay/link.js'
import { makeAnnouncement, saePart, type Announcement } from '../../src/routing/announcement.js'
import { packCheck, packDigests, packUpdate, summaryOf } from '../../src/routing/packet.js'
import { SimRandom } from '../../sim/random.js'
import { polyHash } from '../peer/reference-tag.js'

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
export const xor = (...all: readonly Uint8Array[]): Uint8Array => all[0]!.map((_, i) => all.reduce((sum, bytes) => sum ^ bytes[i]!, 0))

const random = new SimRandom(7)
const job = random.bytes(16), challenge = random.bytes(16), FRAMES = [112, 64]

/** In front of what a confirmation covers: the role in 8 octets, the length of m in 8, both little-endian. */
const prefix = (role: number, m: string): Buffer => {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(BigInt(role))
  bytes.writeBigUInt64LE(BigInt(m.length), 8)
  return bytes
}

/** One job over two paths: its bits, its pads, its tags, and what both ends join. */
const shares = [['kme-a', 'kme-b', 'kme-d'], ['kme-a', 'kme-c', 'kme-d']].map((path, index) => {
  const bits = random.bytes(176), pads = random.bytes(176)
  const m = JSON.stringify([hex(job), index, 2, 0, null, path, FRAMES])
  const k = [0, 16, 32].map((at) => bits.subarray(128 + at, 144 + at)), rest = bits.subarray(0, 128)
  const tag = (role: 1 | 2): Uint8Array => xor(polyHash(xor(k[0]!, challenge), Buffer.concat([prefix(role, m), Buffer.from(m), rest])), k[role]!)
  return { path, bits, pads, data: xor(bits, pads), m, tags: [tag(1), tag(2)] as const }
})
const [first] = shares as [typeof shares[0], typeof shares[0]]
const at = { job, path: first.path, share: 0 }

const message = <N extends MessageName>(name: N, body: Body<N>): object => ({
  name, code: kindOf(name).code, body: JSON.parse(JSON.stringify(body, (_, value: unknown) => value instanceof Uint8Array ? hex(value) : value)) as unknown, bodyHex: hex(packBody(name, body)),
})

export const relayVectors = (): object => ({
  about: 'A job of two shares from kme-a to kme-d: every message with its body (bytes as hex) and its MessagePack, and the bits behind them. docs/relay-protocol.md, Relay of blocks.',
  links: [['kme-a', 'kme-d', 1, false], ['kme-d', 'kme-a', 1, false], ['kme-a', 'kme-d', 2, false], ['kme-a', 'kme-d', 1, true]].map(([a, b, paths, hybrid]) => ({ a, b, paths, hybrid, link: relayLink(a as string, b as string, { paths: paths as number, hybrid: hybrid as boolean }) })),
  job: hex(job), challengeHex: hex(challenge), frames: FRAMES,
  shares: shares.map((s) => ({ path: s.path, bitsHex: hex(s.bits), padsOfSecondHopHex: hex(s.pads), dataOnSecondHopHex: hex(s.data), m: s.m, destinationTagHex: hex(s.tags[0]), sourceTagHex: hex(s.tags[1]) })),
  joinedHex: hex(xor(...shares.map((s) => s.bits.subarray(0, 128)))),
  messages: [
    message('relayPlan', { job, bytes: 176, paths: shares.map((s) => s.path) }), message('relayPlanned', { job, awaited: true }),
    message('relayAsk', { ...at, hop: 1, shares: 2, bytes: 176 }), message('relayReady', { ...at, hop: 0, bytes: 176 }), message('relayCancel', { ...at, hop: 1 }),
    message('relay', { ...at, hop: 1, shares: 2, frames: FRAMES, pads: [{ block: 5, offset: 1_024, length: 176 }], data: new Uint8Array(0) }),
    message('relay', { ...at, hop: 2, shares: 2, frames: FRAMES, pads: [{ block: 9, offset: 63_368, length: 72 }, { block: 10, offset: 0, length: 104 }], data: first.data }),
    message('relayFailed', { ...at, hop: 0, at: 'kme-b', cause: 'stock' }),
    message('relayArrived', { job, tags: shares.map((s) => [s.tags[0]]), exchange: null, challenge }), message('relayJoin', { job, tags: shares.map((s) => [s.tags[1]]) }),
    message('relayRefused', { job, wrong: [1], reason: 'shares differ' }),
  ],
})

// --- link state ---------------------------------------------------------------------------------------------------------

export const DOMAIN = Buffer.from('qkme link state 1\0')
/** Ed25519 with the private key 00 01 02 ... 1f (RFC 8410). */
const key = createPrivateKey({ key: Buffer.concat([unhex('302e020100300506032b657004220420'), Uint8Array.from({ length: 32 }, (_, i) => i)]), format: 'der', type: 'pkcs8' })
/** Stands for the DER of a certificate: what is in it does not matter for the form of a record. */
const certificate = Buffer.from('not a certificate, but its place in the record')
const signer = { certificate: new Uint8Array(certificate), sign: (bytes: Uint8Array): Uint8Array => new Uint8Array(sign(null, Buffer.concat([DOMAIN, bytes]), key)) }
const head = { origin: 'kme-a', incarnation: 3, part: 0, parts: 1, lifetimeS: 1_800 }
const SAES = ['sae-1', 'sae-2', 'sae-3', 'sae-4']

const records = (): Announcement[] => [
  makeAnnouncement({ ...head, sequence: 1 }, { kind: 'certificate', der: new Uint8Array(certificate) }, signer),
  makeAnnouncement({ ...head, sequence: 2 }, { kind: 'links', capabilities: { transit: true, hybrid: false }, links: [{ neighbour: 'kme-c', state: 'degraded', stockClass: 0, rateClass: 12 }, { neighbour: 'kme-b', state: 'up', stockClass: 21, rateClass: 13 }] }, signer),
  ...[0, 1].map((part) => makeAnnouncement({ ...head, sequence: 3 + part, part, parts: 2 }, { kind: 'saes', saes: SAES.filter((sae) => saePart(sae, 2) === part) }, signer)),
]

export const linkStateVectors = (): object => {
  const all = records(), origin = { origin: 'kme-a', records: all.map(summaryOf) }
  return {
    about: 'Records of kme-a and packets that carry them. docs/relay-protocol.md, Link state. The certificate is a stand-in; its key is publicKeyHex (DER, SPKI).',
    certificateHex: hex(certificate), publicKeyHex: hex(createPublicKey(key).export({ format: 'der', type: 'spki' })),
    records: all.map((r) => ({ kind: r.kind, sequence: r.sequence, part: r.part, parts: r.parts, ...r.body.kind === 'saes' ? { saes: r.body.saes } : r.body.kind === 'links' ? { links: r.body.links } : {}, recordHex: hex(r.bytes), hashHex: hex(r.hash) })),
    packets: {
      updateHex: hex(packUpdate(all.slice(0, 2).map(({ bytes }, i) => ({ bytes, ageMs: 1_000 + i, hops: 2 }))).packet),
      digestHex: hex(packDigests([origin], true)[0]!),
      checkHex: hex(packCheck(xor(...all.map((r) => r.hash.subarray(0, 16))))),
    },
  }
}
