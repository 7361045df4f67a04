import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import type { BlockHandle } from '../../src/device/native.js'
import { CONFIRM_BYTES, framesOf, knownBlock, knownKey, testVault } from './vault-support.js'

/** P of native/gf128.h by the definition, in big integers: nothing in common with the addon. */
const polyHash = (key: Uint8Array, message: Uint8Array): Buffer => {
  const number = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n)
  const times = (a: bigint, b: bigint): bigint => {
    let product = 0n
    for (; b > 0n; b >>= 1n) {
      if (b & 1n) product ^= a
      a <<= 1n
      if (a >> 128n) a ^= 1n << 128n | 0x87n
    }
    return product
  }
  const k = number(key)
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) sum = times(sum ^ number(message.subarray(at, at + 16)), k)
  sum = times(sum ^ BigInt(message.length * 8), k)
  return Buffer.from(Array.from({ length: 16 }, (_, i) => Number(sum >> BigInt(8 * i) & 0xFFn)))
}
const xor = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!))
/** Bytes that everybody can make again: SHA-256 in counter mode. */
const stream = (seed: string, length: number): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(length / 32) }, (_, i) => createHash('sha256').update(`${seed} ${i}`).digest())).subarray(0, length)

const vault = testVault(256)
const folder = t.testdir()
const keyBytes = randomBytes(32), key = knownKey(vault, folder, keyBytes)
let blockNumber = 1
const known = (bytes: Buffer, frames = framesOf(bytes.length)): BlockHandle => knownBlock(vault, key, keyBytes, blockNumber++, 0, bytes, frames).block
/** P as the vault computes it: a tag whose pad the test knows. */
const vaultHash = (hashKey: Uint8Array, message: Uint8Array): Buffer => {
  const pad = randomBytes(16), out = new Uint8Array(16)
  const block = known(Buffer.concat([hashKey, pad, Buffer.alloc(CONFIRM_BYTES)]))
  const handle = vault.takeHashKey(block, 0)
  vault.tag(handle, block, 16, message, out)
  vault.dropKey(handle)
  vault.dropBlock(block)
  return xor(out, pad)
}

interface Vector { readonly seed: string, readonly bytes: number, readonly key: string, readonly hash: string }
t.test('the polynomial hash gives the known answers, which an independent program gives too', async t => {
  const vectors = JSON.parse(readFileSync(new URL('../../../test/vectors/poly-hash.json', import.meta.url), 'utf8')) as Vector[]
  t.ok(vectors.length >= 20)
  for (const { seed, bytes, key, hash } of vectors) {
    const message = stream(seed, bytes)
    t.equal(polyHash(Buffer.from(key, 'hex'), message).toString('hex'), hash, `oracle, ${bytes} bytes`)
    t.equal(vaultHash(Buffer.from(key, 'hex'), message).toString('hex'), hash, `vault, ${bytes} bytes`)
  }
})

t.test('the polynomial hash equals the definition for any key and message', async () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ maxLength: 1200 }),
    (hashKey, message) => vaultHash(hashKey, message).equals(polyHash(hashKey, message))), { numRuns: 60 })
})

const prefix = (role: number, m: Uint8Array): Buffer => {
  const bytes = Buffer.alloc(16)
  bytes[0] = role
  bytes.writeBigUInt64LE(BigInt(m.length), 8)
  return bytes
}
t.test('confirmation tags are those of the design, over any shape of block', async t => {
  for (const frames of [[48], [49], [20, 20, 20], [1, 1, 100, 3], framesOf(16 * 3968), framesOf(5000)]) {
    const bytes = randomBytes(frames.reduce((sum, n) => sum + n, 0)), m = randomBytes(bytes.length % 100)
    const block = known(bytes, frames), rest = bytes.subarray(0, -48)
    const [k1, k2, k3] = [0, 16, 32].map(i => bytes.subarray(bytes.length - 48 + i, bytes.length - 32 + i)) as [Buffer, Buffer, Buffer]
    const tag1 = xor(polyHash(k1, Buffer.concat([prefix(1, m), m, rest])), k2)
    const tag2 = xor(polyHash(k1, Buffer.concat([prefix(2, m), m, rest])), k3)
    t.same(Buffer.from(vault.confirmTag(block, 1, m)), tag1)
    t.same(Buffer.from(vault.confirmTag(block, 2, m)), tag2)
    t.ok(vault.verifyConfirmTag(block, 1, m, tag1) && vault.verifyConfirmTag(block, 2, m, tag2))
    t.notOk(vault.verifyConfirmTag(block, 2, m, tag1))
    t.notOk(vault.verifyConfirmTag(block, 1, Buffer.concat([m, Buffer.of(0)]), tag1))
    t.notOk(vault.verifyConfirmTag(block, 1, m, tag1.subarray(1)))
    for (let bit = 0; bit < 128; bit++) {
      const bad = Buffer.from(tag1)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      if (vault.verifyConfirmTag(block, 1, m, bad)) t.fail(`bit ${bit} of the tag does not matter`)
    }
    vault.dropBlock(block)
  }
})

t.test('a block that differs in one bit, or is not wholly loaded, is not confirmed', async t => {
  const bytes = randomBytes(200), m = randomBytes(10)
  const mine = known(bytes, [100, 100])
  const tag = vault.confirmTag(mine, 1, m)
  for (let bit = 0; bit < 200 * 8; bit += 7) {
    const other = Buffer.from(bytes)
    other[bit >> 3]! ^= 1 << (bit & 7)
    const theirs = known(other, [100, 100])
    // k3, the last 16 bytes, masks the other role's tag only.
    if (vault.verifyConfirmTag(theirs, 1, m, tag) !== (bit >= 184 * 8)) t.fail(`bit ${bit}`)
    vault.dropBlock(theirs)
  }
  const partial = vault.createBlock(1, 0, Uint32Array.of(100, 100))
  t.throws(() => vault.confirmTag(partial, 1, m), /invariant violated/)
  t.throws(() => vault.confirmTag(mine, 3 as 1, m), /invariant violated/)
  t.throws(() => vault.confirmTag(known(randomBytes(47)), 1, m), /invariant violated/)
})

t.test('a message verifies once, with its own pad, key and bytes', async t => {
  const other = testVault(), bytes = randomBytes(400)
  const theirKey = knownKey(other, folder, keyBytes)
  const mine = known(bytes, [150, 250]), theirs = knownBlock(other, theirKey, keyBytes, 1, 0, bytes, [150, 250]).block
  const sendKey = vault.takeHashKey(mine, 0), receiveKey = other.takeHashKey(theirs, 0)
  t.ok(vault.takeHashKey(mine, 0) > 0, 'the same hash key may be taken again')
  const check = (offset: number, change: (message: Buffer, tag: Buffer) => void, hashKey = receiveKey): boolean => {
    const message = randomBytes(100), tag = Buffer.alloc(16)
    vault.tag(sendKey, mine, offset, message, tag)
    change(message, tag)
    return other.verifyTag(hashKey, theirs, offset, message, tag)
  }
  const nothing = (): void => {}
  t.ok(check(16, nothing))
  t.ok(check(140, nothing), 'a pad in two frames')
  t.notOk(check(32, message => { message[3]! ^= 1 }))
  t.notOk(check(48, (_, tag) => { tag[15]! ^= 0x80 }))
  t.notOk(check(64, nothing, other.takeHashKey(theirs, 300)))
  const message = Buffer.from('x'), tag = new Uint8Array(16)
  vault.tag(sendKey, mine, 80, message, tag)
  t.notOk(other.verifyTag(receiveKey, theirs, 96, message, tag), 'another pad')
  t.ok(other.verifyTag(receiveKey, theirs, 80, message, tag))
  t.notOk(other.verifyTag(receiveKey, theirs, 80, message, tag), 'a replay finds its pad spent')
  t.notOk(other.verifyTag(receiveKey, theirs, 337, message, tag), 'a pad in the confirmation bytes')
  t.notOk(other.verifyTag(receiveKey, theirs, 0xFFFFFFF8, message, tag))
  t.throws(() => vault.tag(sendKey, mine, 80, message, tag), /invariant violated/)
  t.throws(() => vault.tag(sendKey, mine, 8, message, tag), /invariant violated/, 'the hash key is no pad')
  t.throws(() => vault.takeHashKey(mine, 80), /invariant violated/, 'a pad is no hash key')
  t.throws(() => vault.tag(key, mine, 200, message, tag), /invariant violated/, 'a key of 32 bytes is no hash key')
  t.throws(() => vault.deriveKey(sendKey, tag, ''), /invariant violated/)
})

t.test('a pad stays spent when its frame is evicted and loaded again', async t => {
  const small = testVault(16), smallKey = knownKey(small, folder, keyBytes), bytes = randomBytes(200), message = Buffer.from('x'), tag = new Uint8Array(16)
  const { block, records } = knownBlock(small, smallKey, keyBytes, 1, 0, bytes, [200])
  const hashKey = small.takeHashKey(block, 0)
  t.notOk(small.verifyTag(hashKey, block, 16, message, tag))
  small.tag(hashKey, block, 32, message, tag)
  knownBlock(small, smallKey, keyBytes, 2, 0, randomBytes(16 * 8), framesOf(16 * 8, 8))
  t.notOk(small.frameLoaded(block, 0))
  small.loadFrame(block, 0, smallKey, records[0]!)
  t.notOk(small.verifyTag(hashKey, block, 16, message, xor(bytes.subarray(16, 32), polyHash(bytes.subarray(0, 16), message))))
  t.ok(small.verifyTag(hashKey, block, 48, message, xor(bytes.subarray(48, 64), polyHash(bytes.subarray(0, 16), message))))
  t.throws(() => small.tag(hashKey, block, 32, message, tag), /invariant violated/)
})

t.test('an ID epoch key is HKDF of the block\'s bytes', async t => {
  const bytes = randomBytes(300), block = known(bytes, [20, 280])
  const derived = vault.deriveFromBlock(block, 5, 64, 'qkme id epoch')
  t.same(Buffer.from(vault.keyCheck(derived)), Buffer.from(hkdfSync('sha256', Buffer.from(hkdfSync('sha256', bytes.subarray(5, 69), '', 'qkme id epoch', 32)), '', 'qkme check', 16)))
  t.same(vault.keyCheck(vault.deriveFromBlock(block, 5, 64, 'qkme id epoch')), vault.keyCheck(derived))
  t.throws(() => vault.deriveFromBlock(block, 6, 64, 'qkme id epoch'), /invariant violated/)
  t.throws(() => vault.deriveFromBlock(block, 250, 8, 'x'), /invariant violated/)
})
