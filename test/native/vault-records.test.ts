import { createDecipheriv, randomBytes } from 'node:crypto'
import t from 'tap'
import { loadNative, type SealerHandle } from '../../src/device/native.js'
import { framesOf, knownBlock, knownKey, recordHeader, sealInJs, testVault } from './vault-support.js'

const decrypt = (key: Uint8Array, record: Uint8Array): Buffer => {
  const decipher = createDecipheriv('aes-256-gcm', key, record.subarray(64, 76)).setAAD(record.subarray(0, 64)).setAuthTag(record.subarray(-16))
  return Buffer.concat([decipher.update(record.subarray(76, -16)), decipher.final()])
}

t.test('sealed records are AES-256-GCM with the header authenticated and IV = start || counter', async t => {
  const vault = testVault(), folder = t.testdir(), keyBytes = randomBytes(32)
  const sealer = vault.createSealer(knownKey(vault, folder, keyBytes), 0xA1B2C3D4)
  const out = new Uint8Array(4096), plain = new Set<string>()
  for (const [index, length] of [1, 16, 3967, 3968].entries()) {
    const header = randomBytes(64)
    const record = out.subarray(0, vault.sealRandom(sealer, header, length, out))
    t.equal(record.length, 64 + 12 + length + 16)
    header[0] = 1
    header.writeUInt32LE(length, 28)
    header.writeUInt32LE(0xA1B2C3D4, 36)
    t.same(Buffer.from(record.subarray(0, 64)), header, 'version, length and start are set; the rest is kept')
    const iv = Buffer.alloc(12)
    iv.writeUInt32LE(0xA1B2C3D4)
    iv.writeBigUInt64LE(BigInt(index), 4)
    t.same(Buffer.from(record.subarray(64, 76)), iv)
    const bytes = decrypt(keyBytes, record)
    t.equal(bytes.length, length)
    plain.add(bytes.toString('hex'))
  }
  t.equal(plain.size, 4)
  const payload = randomBytes(100)
  t.same(decrypt(keyBytes, out.subarray(0, vault.sealBytes(sealer, recordHeader(0), payload, out))), payload)
  t.throws(() => vault.sealBytes(sealer, recordHeader(0), payload, out.subarray(0, 191)), /invariant violated/)
  t.throws(() => vault.sealBytes(sealer, recordHeader(0), randomBytes(3969), out), /invariant violated/)
  t.throws(() => vault.sealRandom(sealer, recordHeader(0), 0, out), /invariant violated/)
  t.throws(() => vault.sealRandom(sealer, recordHeader(0), 3969, out), /invariant violated/)
  t.throws(() => vault.sealRandom(sealer, recordHeader(0), 3968, out.subarray(100)), /invariant violated/)
  vault.dropSealer(sealer)
  t.throws(() => vault.sealRandom(sealer, recordHeader(0), 16, out), /invariant violated/)
  t.throws(() => vault.dropSealer(sealer), /invariant violated/)
})

t.test('every single-bit flip of a record is refused', async t => {
  const vault = testVault(), folder = t.testdir(), keyBytes = randomBytes(32)
  const key = knownKey(vault, folder, keyBytes)
  const record = sealInJs(keyBytes, randomBytes(96))
  const block = vault.createBlock(1, 0, Uint32Array.of(96))
  t.ok(vault.verifyRecord(key, record))
  let refused = 0
  for (let bit = 0; bit < record.length * 8; bit++) {
    record[bit >> 3]! ^= 1 << (bit & 7)
    try {
      vault.loadFrame(block, 0, key, record)
    } catch (error) {
      if ((error as { code?: string }).code === 'STORE_CORRUPT' && !vault.verifyRecord(key, record) && !vault.frameLoaded(block, 0)) refused++
    }
    record[bit >> 3]! ^= 1 << (bit & 7)
  }
  t.equal(refused, record.length * 8)
  vault.loadFrame(block, 0, key, record)
  t.ok(vault.frameLoaded(block, 0))
})

t.test('a record of another length, cut, extended, empty or under another key is refused', async t => {
  const vault = testVault(), folder = t.testdir(), keyBytes = randomBytes(32)
  const key = knownKey(vault, folder, keyBytes)
  const block = vault.createBlock(1, 0, Uint32Array.of(96))
  const record = sealInJs(keyBytes, randomBytes(96))
  const bad = [sealInJs(keyBytes, randomBytes(95)), record.subarray(0, -1), Buffer.concat([record, Buffer.of(0)]), Buffer.alloc(0),
    Buffer.alloc(92), Buffer.alloc(188), sealInJs(randomBytes(32), randomBytes(96))]
  for (const each of bad) t.throws(() => vault.loadFrame(block, 0, key, each), { code: 'STORE_CORRUPT' })
  t.equal(vault.stats().cellsUsed, 0)
  t.throws(() => vault.loadFrame(block, 1, key, record), /invariant violated/)
  vault.loadFrame(block, 0, key, record)
  t.throws(() => vault.loadFrame(block, 0, key, record), /invariant violated/)
})

t.test('a full arena evicts what is not pinned, oldest first, and refuses when all is pinned', async t => {
  const vault = testVault(16), folder = t.testdir(), keyBytes = randomBytes(32)
  const key = knownKey(vault, folder, keyBytes)
  const a = knownBlock(vault, key, keyBytes, 1, 0, randomBytes(16 * 64), framesOf(16 * 64, 64))
  t.match(vault.stats(), { arenaBytes: 65536, cellsTotal: 16, cellsUsed: 16, cellsPinned: 0, blocks: 1 })
  vault.pinFrame(a.block, 0)
  vault.pinFrame(a.block, 0)
  const b = knownBlock(vault, key, keyBytes, 2, 0, randomBytes(64), [64])
  t.ok(vault.frameLoaded(a.block, 0), 'pinned frames stay')
  t.notOk(vault.frameLoaded(a.block, 1), 'the oldest unpinned one went')
  t.ok(vault.frameLoaded(a.block, 2))
  for (let i = 2; i < 16; i++) vault.pinFrame(a.block, i)
  vault.pinFrame(b.block, 0)
  t.match(vault.stats(), { cellsUsed: 16, cellsPinned: 16 })
  t.throws(() => vault.loadFrame(a.block, 1, key, a.records[1]!), { code: 'ARENA_FULL' })
  vault.unpinFrame(a.block, 0)
  t.throws(() => vault.loadFrame(a.block, 1, key, a.records[1]!), { code: 'ARENA_FULL' }, 'pins are counted')
  vault.unpinFrame(a.block, 0)
  vault.loadFrame(a.block, 1, key, a.records[1]!)
  t.notOk(vault.frameLoaded(a.block, 0))
  t.throws(() => vault.unpinFrame(a.block, 1), /invariant violated/)
  t.throws(() => vault.pinFrame(a.block, 0), /invariant violated/)
  vault.dropBlock(a.block)
  vault.dropBlock(b.block)
  t.match(vault.stats(), { cellsUsed: 0, cellsPinned: 0, blocks: 0 })
  t.throws(() => vault.dropBlock(a.block), /invariant violated/)
})

t.test('zeroize ends everything', async t => {
  const vault = testVault(), key = vault.newKey(), sealer = vault.createSealer(key, 1)
  vault.createBlock(1, 0, Uint32Array.of(64))
  vault.zeroize()
  t.match(vault.stats(), { cellsUsed: 0, keysUsed: 0, blocks: 0, lanes: 0 })
  t.throws(() => vault.keyCheck(key), /invariant violated/)
  t.throws(() => vault.sealRandom(sealer, recordHeader(0), 16, new Uint8Array(200)), /invariant violated/)
})

t.test('the same seed gives the same bytes and says so; without a seed they differ', async t => {
  const native = loadNative()
  const draw = (seed?: Uint8Array): [string, boolean] => {
    const vault = native.createVault({ arenaBytes: 65536, allowUnlockedMemory: true, ...(seed && { seed }) })
    const out = new Uint8Array(4096)
    const checks = [vault.newKey(), vault.newKey()].map(key => Buffer.from(vault.keyCheck(key)).toString('hex'))
    const length = vault.sealRandom(vault.createSealer(vault.newKey(), 1), recordHeader(0), 1000, out)
    return [checks.join() + Buffer.from(out.subarray(0, length)).toString('hex'), vault.stats().deterministic]
  }
  const seeded = draw(Buffer.from('one'))
  t.same(draw(Buffer.from('one')), seeded)
  t.ok(seeded[1])
  t.not(draw(Buffer.from('two'))[0], seeded[0])
  t.not(draw()[0], draw()[0])
  t.notOk(draw()[1])
})

t.test('a vault is refused with its reason when its options or the lock limit do not allow it', async t => {
  const native = loadNative()
  t.throws(() => native.createVault({ arenaBytes: 4096, allowUnlockedMemory: true }), /invariant violated/)
  t.throws(() => native.createVault({ arenaBytes: Number.NaN, allowUnlockedMemory: true }), /invariant violated/)
  t.throws(() => native.createVault({ arenaBytes: 65536, allowUnlockedMemory: true, seed: new Uint8Array(0) }), /invariant violated/)
  t.throws(() => native.createVault({ arenaBytes: 65536, allowUnlockedMemory: true, seed: 'x' as unknown as Uint8Array }), /invariant violated/)
  t.type(native.features.gf128, 'string')
  t.match(native.features.openssl, /^3\./)
  t.throws(() => testVault().dropSealer(0 as SealerHandle), /invariant violated/)
})
