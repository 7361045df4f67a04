import { randomBytes } from 'node:crypto'
import t from 'tap'
import { CUT_TAKEN, KEY_ID_FIELDS, PAD_TAKEN, type BlockHandle, type LaneHandle } from '../../src/device/native.js'
import { uuidText } from '../../src/device/formats/uuid.js'
import { CONFIRM_BYTES, framesOf, knownBlock, knownKey, testVault } from './vault-support.js'

interface Lane { readonly lane: LaneHandle, readonly bytes: Buffer, readonly block: BlockHandle }

const site = (folder: string, cells = 64) => {
  const vault = testVault(cells), keyBytes = randomBytes(32)
  const key = knownKey(vault, folder, keyBytes), epoch = knownKey(vault, folder, randomBytes(32))
  const lane = (number: number, total: number): Lane => {
    const bytes = randomBytes(total), { block } = knownBlock(vault, key, keyBytes, number, epoch, bytes, framesOf(total)), lane = vault.createLane()
    vault.lanePush(lane, block, 0, total - CONFIRM_BYTES & ~7, true)
    return { lane, bytes, block }
  }
  return { vault, epoch, lane }
}

t.test('keys cut aside are the lane\'s bytes under their IDs, and a pad covers them', async t => {
  const { vault, epoch, lane } = site(t.testdir())
  for (const [count, size] of [[1, 32], [7, 33], [128, 16], [9, 1024]] as const) {
    const unit = Math.ceil(size / 8) * 8
    const keys = lane(5, 20_000), pads = lane(6, 20_000)
    const ids = new Uint8Array(count * 16), taken = new Uint32Array(CUT_TAKEN)
    const held = vault.holdKeys(keys.lane, count, size, 9, ids, taken)
    t.not(held, 0)
    t.same([...taken], [5, 0, 0, 0, vault.laneLeft(keys.lane), 0])
    t.same(vault.laneCursor(keys.lane), [5, count * unit], 'the cursor has passed them')
    const text = Array.from({ length: count }, (_, i) => uuidText(ids.subarray(i * 16, i * 16 + 16)))
    const fields = new Uint32Array(count * KEY_ID_FIELDS)
    t.equal(vault.openKeyIds(Uint32Array.of(epoch), text.join(''), count, fields), count)
    t.same([...fields.subarray((count - 1) * KEY_ID_FIELDS)], [1, 5, (count - 1) * unit / 8, size, 9])

    const data = new Uint8Array(count * unit), where = new Uint32Array(PAD_TAKEN)
    for (let at = 0; at < data.length;) { // In uneven pieces, as runs of a lane are.
      const take = Math.min(data.length - at, 5_000)
      vault.padHeld(pads.lane, held as BlockHandle, at, data.subarray(at, at + take), where)
      t.same([...where], [6, 0, at])
      at += take
    }
    const clear = Buffer.from(data.map((b, i) => b ^ pads.bytes[i]!))
    for (let i = 0; i < count; i++) t.ok(clear.subarray(i * unit, i * unit + size).equals(keys.bytes.subarray(i * unit, i * unit + size)), `key ${i} of ${size} bytes`)
    t.same(vault.laneCursor(pads.lane), [6, data.length], 'the pads are spent')

    const out = new Uint8Array(1 << 16)
    const length = vault.serve(count, text.join(''), new Uint32Array(count).fill(held), Uint32Array.from(text, (_, i) => i * unit), new Uint32Array(count).fill(size), '', '', out)
    const answer = JSON.parse(Buffer.from(out.subarray(0, length)).toString()) as { keys: { key_ID: string, key: string }[] }
    t.same(answer.keys, text.map((id, i) => ({ key_ID: id, key: keys.bytes.subarray(i * unit, i * unit + size).toString('base64') })))
    vault.dropBlock(held as BlockHandle)
    vault.dropLane(keys.lane)
    vault.dropLane(pads.lane)
    vault.dropBlock(keys.block)
    vault.dropBlock(pads.block)
  }
  t.equal(vault.stats().cellsUsed, 0, 'nothing is left in the arena')
})

t.test('what cannot be held consumes nothing', async t => {
  const { vault, lane } = site(t.testdir(), 16)
  const keys = lane(5, 40_000), ids = new Uint8Array(16 * 1024), taken = new Uint32Array(CUT_TAKEN)
  t.equal(vault.holdKeys(keys.lane, 64, 1024, 9, ids, taken), 0, 'not enough is leased')
  t.throws(() => vault.holdKeys(keys.lane, 38, 1024, 9, ids, taken), { code: 'ARENA_FULL' })
  t.throws(() => vault.holdKeys(keys.lane, 2, 1024, 9, ids.subarray(0, 31), taken), { message: /room for the key IDs/ })
  t.same(vault.laneCursor(keys.lane), [5, 0])
  t.equal(vault.stats().cellsPinned, 11)
})

t.test('only held keys are padded, and within their bounds', async t => {
  const { vault, lane } = site(t.testdir())
  const keys = lane(5, 4_000), pads = lane(6, 4_000), ids = new Uint8Array(16), taken = new Uint32Array(CUT_TAKEN)
  const held = vault.holdKeys(keys.lane, 1, 32, 9, ids, taken) as BlockHandle
  t.throws(() => { vault.padHeld(pads.lane, keys.block, 0, new Uint8Array(32), taken) }, { message: /cut aside/ })
  t.throws(() => { vault.padHeld(pads.lane, held, 8, new Uint8Array(32), taken) }, { message: /what is held/ })
  t.throws(() => { vault.padHeld(pads.lane, held, 0, new Uint8Array(8_000), taken) }, { message: /one leased stretch/ })
  t.same(vault.laneCursor(pads.lane), [6, 0])
})
