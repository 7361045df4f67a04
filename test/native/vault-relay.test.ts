import { createDecipheriv, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PAD_TAKEN, type BlockHandle, type LaneHandle } from '../../src/device/native.js'
import { framesOf, knownBlock, knownKey, recordHeader, testVault } from './vault-support.js'

const xor = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!))
const vault = testVault(256)
const keyBytes = randomBytes(32), key = knownKey(vault, t.testdir(), keyBytes)
const epoch = vault.newKey()
const sealer = vault.createSealer(key, 9)
const out = new Uint8Array(4096), taken = new Uint32Array(PAD_TAKEN)
let blockNumber = 1

const known = (bytes: Buffer): BlockHandle => knownBlock(vault, key, keyBytes, blockNumber++, epoch, bytes, framesOf(bytes.length)).block
const leased = (block: BlockHandle, from: number, to: number): LaneHandle => {
  const lane = vault.createLane()
  vault.lanePush(lane, block, from, to, false)
  return lane
}
const open = (length: number): Buffer => {
  const record = Buffer.from(out.subarray(0, length))
  const decipher = createDecipheriv('aes-256-gcm', keyBytes, record.subarray(64, 76)).setAAD(record.subarray(0, 64)).setAuthTag(record.subarray(-16))
  return Buffer.concat([decipher.update(record.subarray(76, -16)), decipher.final()])
}

t.test('bits of X reach Z over two nodes that change the pads', async t => {
  const length = 3968, header = recordHeader(length)
  const xy = randomBytes(6000), yw = randomBytes(5000), wz = randomBytes(9000)
  const atX = leased(known(xy), 1000, 5000), atY = leased(known(yw), 80, 4880), atW = leased(known(wz), 0, 8000)
  const took = open(vault.laneSeal(atX, sealer, header, length, out, taken))
  t.same(took, xy.subarray(1000, 1000 + length))
  t.same(taken[2], 1000)
  const data = Buffer.alloc(length)
  vault.laneXor(atY, known(xy), 1000, data, taken)
  t.same(data, xor(took, yw.subarray(80, 80 + length)), 'key of X under the pad of Y')
  t.same(taken[2], 80)
  vault.laneXor(atW, known(yw), 80, data, taken)
  t.same(data, xor(took, wz.subarray(0, length)), 'the same under the pad of W')
  const atZ = known(wz)
  t.same(open(vault.sealPads(sealer, header, Uint32Array.of(atZ, 0, 1000, atZ, 1000, length - 1000), data, out, false)), took)
  t.throws(() => vault.sealPads(sealer, header, Uint32Array.of(atZ, 3960, length), data, out, false), /invariant violated/, 'a pad is used once')
  t.throws(() => vault.sealPads(sealer, header, Uint32Array.of(atZ, 4000, 100), data, out, false), /invariant violated/, 'the pads are as long as the cipher')
})

t.test('what a lane gives to the relay is gone from it', async t => {
  const bytes = randomBytes(2000), lane = leased(known(bytes), 0, 1000)
  const header = recordHeader(104)
  vault.laneSeal(lane, sealer, header, 104, out, taken)
  t.equal(vault.laneRun(lane), 896)
  t.same(open(vault.laneSeal(lane, sealer, header, 104, out, taken)), bytes.subarray(104, 208))
  t.equal(vault.laneLeft(lane), 792)
  t.throws(() => vault.laneSeal(lane, sealer, recordHeader(800), 800, out, taken), /invariant violated/, 'more than is leased')
})

t.test('shares of disjoint paths are joined', async t => {
  const shares = [randomBytes(100), randomBytes(100), randomBytes(100)], header = recordHeader(44)
  const seal = (blocks: number[], offsets: number[], length: number): Buffer => open(vault.sealXor(sealer, header, Uint32Array.from(blocks), Uint32Array.from(offsets), length, out, false))
  const blocks = shares.map((bytes) => known(bytes))
  t.same(seal(blocks, [0, 4, 8], 44), xor(xor(shares[0]!.subarray(0, 44), shares[1]!.subarray(4, 48)), shares[2]!.subarray(8, 52)))
  t.throws(() => seal(blocks, [0, 4, 8], 44), /invariant violated/, 'a share is used once')
})

t.test('what the relay seals stays open for a moment if it is to, and what a block gives: another block finds it, once', async t => {
  const length = 200, share = randomBytes(length), other = randomBytes(length), header = recordHeader(length), m = new Uint8Array(3), before = vault.stats().cellsUsed
  const name = Buffer.concat([header.subarray(4, 8), header.subarray(24, 32), header.subarray(8, 24)])
  const found = (bytes: Uint8Array): boolean => {
    const block = vault.createBlock(1, 0, Uint32Array.of(length)), same = known(Buffer.from(bytes))
    const isThere = vault.loadRecent(block, name, name.length) === 1
    if (isThere) t.same(vault.confirmTag(block, 1, m), vault.confirmTag(same, 1, m), 'the same bytes')
    for (const handle of [block, same]) vault.dropBlock(handle)
    return isThere
  }
  const pads = known(Buffer.concat([other, Buffer.alloc(48)])), cipher = xor(share, other)
  vault.sealPads(sealer, header, Uint32Array.of(pads, 0, length), cipher, out, true)
  t.same([found(share), found(share)], [true, false])
  const a = known(Buffer.concat([share, Buffer.alloc(48)])), b = known(Buffer.concat([other, Buffer.alloc(48)]))
  vault.sealXor(sealer, header, Uint32Array.of(a, b), Uint32Array.of(0, 0), length, out, true)
  t.ok(found(xor(share, other)))
  const giver = known(share)
  vault.pinFrame(giver, 0)
  vault.keepRecent(giver, 0, header)
  t.notOk(vault.frameLoaded(giver, 0), 'it has it no longer')
  t.throws(() => { vault.keepRecent(giver, 0, header) }, /invariant violated/)
  t.throws(() => { vault.keepRecent(a, 0, header.subarray(1)) }, /invariant violated/)
  t.ok(found(share))
  for (const handle of [pads, a, b, giver]) vault.dropBlock(handle)
  vault.sealPads(sealer, header, Uint32Array.of(known(share), 0, 8), new Uint8Array(8), out, true)
  const used = vault.stats().cellsUsed
  await sleep(1_050)
  vault.sweepRecent()
  t.equal(vault.stats().cellsUsed, used - 1, 'and it is wiped if nobody does')
  t.ok(used > before)
})
