import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { KEY_ID_FIELDS, type KeyHandle } from '../../src/device/native.js'
import { knownKey, testVault } from './vault-support.js'

const vault = testVault()
const epoch = vault.newKey(), foreign = vault.newKey()
interface Fields { block: number, place: number, length: number, association: number }
const fields = fc.record({
  block: fc.integer({ min: 0, max: 0xFFFFFFFF }), place: fc.integer({ min: 0, max: 8191 }),
  length: fc.integer({ min: 1, max: 1024 }), association: fc.integer({ min: 0, max: 65535 }),
})
const make = (f: Fields, key: KeyHandle = epoch): string => vault.makeKeyId(key, f.block, f.place, f.length, f.association)
const open = (ids: readonly string[], epochs: readonly KeyHandle[] = [epoch]): number[][] => {
  const out = new Uint32Array(ids.length * KEY_ID_FIELDS).fill(0xFFFFFFFF)
  const verified = vault.openKeyIds(Uint32Array.from(epochs), ids.join(''), ids.length, out)
  const rows = ids.map((_, i) => [...out.subarray(i * KEY_ID_FIELDS, (i + 1) * KEY_ID_FIELDS)])
  if (rows.filter(row => row[0] !== 0).length !== verified) throw new Error('count of verified IDs is wrong')
  return rows
}
const row = (f: Fields, index = 1): number[] => [index, f.block, f.place, f.length, f.association]
const nowhere = [0, 0, 0, 0, 0]

t.test('an ID is a UUID of version 4 in lower case and opens to its fields, in any letter case', async () => {
  fc.assert(fc.property(fields, fc.infiniteStream(fc.boolean()), (f, coins) => {
    const id = make(f)
    const mixed = [...id].map(c => coins.next().value === true ? c.toUpperCase() : c).join('')
    return /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id) && make(f) === id &&
      JSON.stringify(open([id, mixed])) === JSON.stringify([row(f), row(f)])
  }))
})

/** A key_ID by the construction in native/vault/key_id_cipher.h, with node:crypto and big integers. */
const makeInJs = (epochKey: Uint8Array, f: Fields, tagChange = 0n): string => {
  const prf = (info: string, input: Buffer): bigint => {
    const cipher = createCipheriv('aes-256-ecb', Buffer.from(hkdfSync('sha256', epochKey, '', info, 32)), null).setAutoPadding(false)
    return BigInt('0x' + cipher.update(input).toString('hex'))
  }
  const bytes = (n: bigint, length: number): Buffer => Buffer.from(n.toString(16).padStart(2 * length, '0'), 'hex')
  const packed = BigInt(f.block) << 39n | BigInt(f.place) << 26n | BigInt(f.length - 1) << 16n | BigInt(f.association)
  const tag = prf('qkme key id tag', Buffer.concat([Buffer.from('QKMEID1'), bytes(packed, 9)])) >> 77n ^ tagChange
  const masked = packed ^ prf('qkme key id mask', Buffer.concat([Buffer.from('QKMEID2'), bytes(tag, 9)])) >> 57n
  const free = tag << 71n | masked
  const uuid = free >> 74n << 80n | 4n << 76n | (free >> 62n & 0xFFFn) << 64n | 2n << 62n | free & (1n << 62n) - 1n
  return bytes(uuid, 16).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

t.test('IDs are those of the written construction', async t => {
  const bytes = randomBytes(32), key = knownKey(vault, t.testdir(), bytes)
  fc.assert(fc.property(fields, f => make(f, key) === makeInJs(bytes, f)))
})

t.test('each bit of the tag counts, even if the fields are masked to fit a wrong tag', async t => {
  const bytes = randomBytes(32), key = knownKey(vault, t.testdir(), bytes), f = { block: 3, place: 4, length: 32, association: 5 }
  const forged = Array.from({ length: 51 }, (_, bit) => makeInJs(bytes, f, 1n << BigInt(bit)))
  t.same(open([makeInJs(bytes, f), ...forged], [key]), [row(f), ...forged.map(() => nowhere)])
})

t.test('of two epochs that verify, the first is named', async t => {
  const f = { block: 0xF0F0F0F0, place: 1, length: 32, association: 2 }
  t.same(open([make(f)], [foreign, epoch, epoch, epoch]), [row(f, 2)])
})

t.test('different fields or another epoch key give different IDs', async () => {
  const seen = new Map<string, string>()
  fc.assert(fc.property(fields, f => {
    const id = make(f), text = JSON.stringify(f), before = seen.get(id)
    seen.set(id, text)
    return (before === undefined || before === text) && make(f, foreign) !== id
  }), { numRuns: 2000 })
})

t.test('an ID of another epoch key verifies nowhere; among several epochs the right one is named', async () => {
  const keys = [vault.newKey(), vault.newKey(), epoch, vault.newKey()]
  fc.assert(fc.property(fields, fc.integer({ min: 0, max: 3 }), (f, which) => {
    const id = make(f, keys[which]!)
    return JSON.stringify(open([id], keys)) === JSON.stringify([row(f, which + 1)]) &&
      JSON.stringify(open([id], [foreign])) === JSON.stringify([nowhere]) &&
      JSON.stringify(open([id], [])) === JSON.stringify([nowhere])
  }))
})

t.test('every bit flip of an ID is refused', async () => {
  fc.assert(fc.property(fields, f => {
    const hex = make(f).replaceAll('-', '')
    const flipped = Array.from({ length: 128 }, (_, bit) => {
      const value = (BigInt('0x' + hex) ^ (1n << BigInt(bit))).toString(16).padStart(32, '0')
      return value.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    })
    return open(flipped).every(each => JSON.stringify(each) === JSON.stringify(nowhere))
  }), { numRuns: 50 })
})

t.test('made-up and malformed IDs verify nowhere and disturb no other ID of the batch', async t => {
  const good = { block: 7, place: 9, length: 32, association: 3 }
  const bad = ['00000000-0000-4000-8000-000000000000', 'x'.repeat(36), make(good).replace('-', '0'), make(good).slice(0, 35) + 'g', ' '.repeat(36),
    'ffffffff-ffff-4fff-bfff-ffffffffffff']
  t.same(open([...bad, make(good)]), [...bad.map(() => nowhere), row(good)])
  let verified = 0
  fc.assert(fc.property(fc.uuid({ version: 4 }), id => { verified += open([id])[0]![0]!; return true }), { numRuns: 2000 })
  t.equal(verified, 0)
})

t.test('batches larger than one pass through the cipher keep their order', async t => {
  const many = Array.from({ length: 1024 }, (_, i) => ({ block: i * 7919, place: i * 8, length: 1 + i, association: 65535 - i }))
  t.same(open(many.map(f => make(f))), many.map(f => row(f)))
})

t.test('bits of IDs with neighbouring fields look like noise', async t => {
  const ones = new Array<number>(128).fill(0)
  const count = 4000
  for (let i = 0; i < count; i++) {
    const value = BigInt('0x' + make({ block: 1, place: i, length: 32, association: 1 }).replaceAll('-', ''))
    for (let bit = 0; bit < 128; bit++) ones[bit]! += Number(value >> BigInt(bit) & 1n)
  }
  const fixed = new Map([[79, 0], [78, count], [77, 0], [76, 0], [63, count], [62, 0]])
  for (const [bit, n] of ones.entries()) {
    const wanted = fixed.get(bit)
    // Six standard deviations of a fair coin.
    t.ok(wanted === undefined ? Math.abs(n - count / 2) < 6 * Math.sqrt(count) / 2 : n === wanted, `bit ${bit}: ${n} of ${count}`)
  }
})

t.test('arguments out of range are bugs of the caller', async t => {
  const out = new Uint32Array(KEY_ID_FIELDS), id = make({ block: 1, place: 1, length: 1, association: 1 })
  for (const [place, length, association] of [[8192, 1, 0], [0, 0, 0], [0, 1025, 0], [0, 1, 65536], [-1, 1, 0], [0.5, 1, 0]] as const) {
    t.throws(() => vault.makeKeyId(epoch, 1, place, length, association), /invariant violated/)
  }
  t.throws(() => vault.openKeyIds(Uint32Array.of(epoch), id, 2, out), /invariant violated/)
  t.throws(() => vault.openKeyIds(Uint32Array.of(epoch), id + id, 2, out), /invariant violated/, 'no room')
  t.throws(() => vault.openKeyIds(Uint32Array.of(epoch), 'ü' + id.slice(1), 1, out), /invariant violated/)
  t.throws(() => vault.openKeyIds(Uint32Array.of(0), id, 1, out), /invariant violated/)
  t.throws(() => vault.openKeyIds(Uint32Array.of(epoch, epoch, epoch, epoch, epoch), id, 1, out), /invariant violated/)
})
