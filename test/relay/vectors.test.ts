import { createHash, createPublicKey, verify } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { unpackBody } from '../../src/peer/body.js'
import type { MessageName } from '../../src/peer/messages.js'
import { readAnnouncement } from '../../src/routing/announcement.js'
import { readPacket } from '../../src/routing/packet.js'
import { knownBlock, knownKey, testVault } from '../native/vault-support.js'
import { DOMAIN, hex, linkStateVectors, relayVectors, unhex, xor } from './vectors.js'

const root = import.meta.url.includes('/dist/') ? '../../../' : '../../'
const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`${root}test/vectors/${name}.json`, import.meta.url), 'utf8')) as T

interface Relay {
  links: { a: string, b: string, paths: number, hybrid: boolean, link: number }[], job: string, challengeHex: string, frames: number[], joinedHex: string
  shares: { path: string[], bitsHex: string, padsOfSecondHopHex: string, dataOnSecondHopHex: string, m: string, destinationTagHex: string, sourceTagHex: string }[]
  messages: { name: MessageName, code: number, body: object, bodyHex: string }[]
}
interface LinkState {
  certificateHex: string, publicKeyHex: string, packets: { updateHex: string, digestHex: string, checkHex: string }
  records: { kind: string, sequence: number, part: number, parts: number, saes?: string[], recordHex: string, hashHex: string }[]
}
const relay = read<Relay>('relay'), linkState = read<LinkState>('link-state')

t.test('the code makes the vectors', async (t) => {
  t.same(JSON.parse(JSON.stringify(relayVectors())), relay)
  t.same(JSON.parse(JSON.stringify(linkStateVectors())), linkState)
})

t.test('messages of the relay are read as in the vectors', async (t) => {
  for (const { name, body, bodyHex } of relay.messages) {
    const got = JSON.parse(JSON.stringify(unpackBody(name, unhex(bodyHex)), (_, value: unknown) => value instanceof Uint8Array ? hex(value) : value)) as unknown
    t.same(got, body, name)
  }
  for (const { a, b, paths, hybrid, link } of relay.links) {
    const [low, high] = a < b ? [a, b] : [b, a]
    const more = paths === 1 && !hybrid ? '' : `\0${paths}${hybrid ? ' hybrid' : ''}`
    t.equal(link, (createHash('sha256').update(`qkme relay\0${low}\0${high}${more}`).digest().readUInt32BE(0) | 2 ** 31) >>> 0)
  }
})

t.test('pads come off, tags and the joined bits are what the vault makes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-vectors-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const vault = testVault(), keyBytes = new Uint8Array(32).fill(5), key = knownKey(vault, folder, keyBytes)
  const challenge = unhex(relay.challengeHex)
  for (const s of relay.shares) {
    t.equal(hex(xor(unhex(s.dataOnSecondHopHex), unhex(s.padsOfSecondHopHex))), s.bitsHex)
    const { block } = knownBlock(vault, key, keyBytes, 1, 0, Buffer.from(s.bitsHex, 'hex'), relay.frames)
    t.equal(hex(vault.confirmTag(block, 1, Buffer.from(s.m), challenge)), s.destinationTagHex)
    t.equal(hex(vault.confirmTag(block, 2, Buffer.from(s.m), challenge)), s.sourceTagHex)
  }
  t.equal(hex(xor(...relay.shares.map((s) => unhex(s.bitsHex).subarray(0, 128)))), relay.joinedHex)
})

t.test('records are signed over the domain and all before the signature, packets carry them', async (t) => {
  const publicKey = createPublicKey({ key: Buffer.from(linkState.publicKeyHex, 'hex'), format: 'der', type: 'spki' })
  const fingerprint = createHash('sha256').update(unhex(linkState.certificateHex)).digest('hex')
  for (const v of linkState.records) {
    const bytes = unhex(v.recordHex), record = readAnnouncement(bytes)
    t.same([record.kind, record.origin, record.incarnation, record.sequence, record.part, record.parts], [v.kind, 'kme-a', 3, v.sequence, v.part, v.parts])
    t.equal(hex(record.fingerprint), fingerprint)
    t.equal(createHash('sha256').update(bytes).digest('hex'), v.hashHex)
    const signed = bytes.subarray(0, bytes.length - 66)
    t.ok(verify(null, Buffer.concat([DOMAIN, signed]), publicKey, bytes.subarray(bytes.length - 64)), 'the signature is the last 64 octets')
    t.notOk(verify(null, signed, publicKey, bytes.subarray(bytes.length - 64)), 'not without its domain')
  }
  const update = readPacket(unhex(linkState.packets.updateHex))
  t.same(update.type === 'update' ? update.records.map((r) => [hex(r.bytes), r.ageMs, r.hops]) : [], linkState.records.slice(0, 2).map((r, i) => [r.recordHex, 1_000 + i, 2]))
  const digest = readPacket(unhex(linkState.packets.digestHex))
  t.same(digest.type === 'digest' ? digest.origins[0]!.records.map((r) => r.check) : [], linkState.records.map((r) => Buffer.from(r.hashHex, 'hex').readUInt32BE(0)))
  t.equal(linkState.packets.checkHex.slice(4), hex(xor(...linkState.records.map((r) => unhex(r.hashHex).subarray(0, 16)))))
})
