import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import t from 'tap'
import type { BlockHandle, KeyHandle } from '../../src/device/native.js'
import { framesOf, knownBlock, knownKey, recordHeader, testVault } from './vault-support.js'

const vault = testVault(256)
const keyBytes = randomBytes(32), key = knownKey(vault, t.testdir(), keyBytes)
const sealer = vault.createSealer(key, 3)
const out = new Uint8Array(4096)
const secret = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7 + 1))
const xor = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!))

const known = (bytes: Buffer): BlockHandle => knownBlock(vault, key, keyBytes, 1, 0, bytes, framesOf(bytes.length)).block
const open = (length: number): Buffer => {
  const record = Buffer.from(out.subarray(0, length))
  const decipher = createDecipheriv('aes-256-gcm', keyBytes, record.subarray(64, 76)).setAAD(record.subarray(0, 64)).setAuthTag(record.subarray(-16))
  return Buffer.concat([decipher.update(record.subarray(76, -16)), decipher.final()])
}
/** A relayed frame's header with a name. */
const named = (length: number, link: number, job: Uint8Array, offset: number): Buffer => {
  const header = recordHeader(length)
  header[1] = 3
  header.writeUInt32LE(link, 4)
  header.set(job, 8)
  header.writeUInt32LE(offset, 24)
  return header
}
/** The definition, by another library. */
const streamOf = (exchange: Uint8Array, header: Buffer, length: number): Buffer => {
  const streamKey = Buffer.from(hkdfSync('sha256', exchange, header.subarray(4, 28), 'qkme hybrid stream 1', 32))
  return createCipheriv('aes-256-ctr', streamKey, Buffer.alloc(16)).update(Buffer.alloc(length))
}
const seal = (header: Buffer, shares: Buffer[], length: number, exchange: KeyHandle, offsets = shares.map(() => 0)): Buffer =>
  open(vault.sealHybrid(sealer, header, Uint32Array.from(shares.map(known)), Uint32Array.from(offsets), length, exchange, out))

t.test('a key that is taken in is the caller\'s bytes, which are wiped', async t => {
  const bytes = Buffer.from(secret)
  const taken = vault.takeKey(bytes)
  t.same(bytes, Buffer.alloc(32))
  t.same(Buffer.from(vault.keyCheck(taken)), Buffer.from(hkdfSync('sha256', secret, '', 'qkme check', 16)))
  const short = Buffer.from(secret.subarray(1)), keys = vault.stats().keysUsed
  t.throws(() => vault.takeKey(short), /invariant violated/)
  t.same(short, Buffer.alloc(31), 'also those that are refused')
  t.equal(vault.stats().keysUsed, keys)
})

t.test('frames are sealed under the stream of exchange and name: shares, offsets, all lengths', async t => {
  const exchange = vault.takeKey(Buffer.from(secret))
  for (const [length, count] of [[1, 1], [15, 2], [16, 1], [17, 3], [3968, 1], [3968, 8]] as const) {
    const shares = Array.from({ length: count }, () => randomBytes(4200)), header = named(length, 0x80000001, randomBytes(16), 124)
    const sum = shares.reduce<Buffer>((all, share, i) => xor(all, share.subarray(8 * i, 8 * i + length)), Buffer.alloc(length))
    t.same(seal(header, shares, length, exchange, shares.map((_, i) => 8 * i)), xor(sum, streamOf(secret, header, length)), `${length} bytes of ${count}`)
  }
})

t.test('no two names and no two exchanges share a stream; the rest of a header does not matter', async t => {
  const exchange = vault.takeKey(Buffer.from(secret)), otherSecret = Buffer.from(secret).fill(9), other = vault.takeKey(Buffer.from(otherSecret))
  const zeros = (): Buffer[] => [Buffer.alloc(200)]
  const job = randomBytes(16), header = named(100, 7, job, 1)
  const stream = seal(header, zeros(), 100, exchange)
  const different = [named(100, 8, job, 1), named(100, 7, randomBytes(16), 1), named(100, 7, job, 2), named(100, 7, job, 0x01000001)]
  for (const name of different) t.not(Buffer.compare(seal(name, zeros(), 100, exchange), stream), 0)
  t.not(Buffer.compare(seal(header, zeros(), 100, other), stream), 0)
  const elsewhere = named(100, 7, job, 1)
  elsewhere.writeUInt32LE(77, 32)
  elsewhere.writeUInt16LE(5, 2)
  t.same(seal(elsewhere, zeros(), 100, exchange), stream, 'key slot and flags differ between the ends')
})

t.test('a wrong call takes nothing', async t => {
  const exchange = vault.takeKey(Buffer.from(secret)), header = named(100, 7, randomBytes(16), 1)
  const share = known(randomBytes(200))
  t.throws(() => vault.sealHybrid(sealer, header, Uint32Array.of(share), Uint32Array.of(0), 100, 99 as KeyHandle, out), /invariant violated/)
  t.ok(vault.sealHybrid(sealer, header, Uint32Array.of(share), Uint32Array.of(0), 100, exchange, out) > 0, 'the share was not spent by it')
  t.throws(() => vault.sealHybrid(sealer, header, Uint32Array.of(share), Uint32Array.of(0), 100, exchange, out), /invariant violated/, 'a share is used once')
  t.throws(() => vault.sealHybrid(sealer, header, Uint32Array.of(), Uint32Array.of(), 100, exchange, out), /invariant violated/)
  t.throws(() => vault.sealHybrid(sealer, header, Uint32Array.of(known(randomBytes(5000))), Uint32Array.of(0), 3969, exchange, out), /invariant violated/)
})
