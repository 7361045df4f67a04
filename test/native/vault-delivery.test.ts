import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { CUT_INSUFFICIENT, CUT_NO_ROOM, CUT_TAKEN, KEY_ID_FIELDS, type BlockHandle, type KeyHandle, type LaneHandle, type NativeVault } from '../../src/device/native.js'
import { CONFIRM_BYTES, framesOf, knownBlock, knownKey, testVault } from './vault-support.js'

const utf8 = new TextDecoder('utf-8', { fatal: true })
const up8 = (n: number): number => Math.ceil(n / 8) * 8

interface Site { vault: NativeVault, key: KeyHandle, keyBytes: Buffer, epoch: KeyHandle }
/** Two vaults with the same ID epoch key, as two KMEs have. */
const twoSites = (folder: string, cells = 128): [Site, Site] => {
  const epochBytes = randomBytes(32)
  const site = (): Site => {
    const vault = testVault(cells), keyBytes = randomBytes(32)
    return { vault, keyBytes, key: knownKey(vault, folder, keyBytes), epoch: knownKey(vault, folder, epochBytes) }
  }
  return [site(), site()]
}
const blockAt = (site: Site, number: number, bytes: Buffer, frames: number[]): BlockHandle =>
  knownBlock(site.vault, site.key, site.keyBytes, number, site.epoch, bytes, frames).block

const cutText = (vault: NativeVault, lane: LaneHandle, count: number, size: number, association = 5,
  members: readonly [string, string] = ['', ''], taken = new Uint32Array(CUT_TAKEN)): string | number => {
  const out = new Uint8Array(1 << 18)
  const length = vault.cut(lane, count, size, association, members[0], members[1], out, taken)
  return length < 0 ? length : utf8.decode(out.subarray(0, length))
}
/** The container as JSON.stringify writes it. */
const expected = (site: Site, keys: readonly { block: number, offset: number, bytes: Buffer }[], association = 5): string =>
  JSON.stringify({
    keys: keys.map(k => ({ key_ID: site.vault.makeKeyId(site.epoch, k.block, k.offset / 8, k.bytes.length, association), key: k.bytes.toString('base64') })),
  })

t.test('the master\'s answer is the container that JSON.stringify writes, and the slave\'s is the same', async t => {
  const [a, b] = twoSites(t.testdir())
  const bytes = randomBytes(9000)
  const lane = a.vault.createLane()
  a.vault.lanePush(lane, blockAt(a, 77, bytes, framesOf(9000)), 0, 9000 - CONFIRM_BYTES, true)
  const block = blockAt(b, 77, bytes, framesOf(9000))
  let offset = 0
  for (const [count, size] of [[1, 32], [128, 32], [3, 1], [2, 9], [1, 1024], [5, 100]] as const) {
    const keys = Array.from({ length: count }, (_, i) => {
      const at = offset + i * up8(size)
      return { block: 77, offset: at, bytes: bytes.subarray(at, at + size) }
    })
    const taken = new Uint32Array(CUT_TAKEN)
    const text = cutText(a.vault, lane, count, size, 5, ['', ''], taken)
    t.equal(text, expected(a, keys), `${count} keys of ${size} bytes`)
    t.same([...taken], [77, 0, offset / 8, 0, 9000 - CONFIRM_BYTES - offset - count * up8(size), 0])
    const ids = (JSON.parse(text as string) as { keys: { key_ID: string }[] }).keys.map(k => k.key_ID.toUpperCase()).join('')
    const opened = new Uint32Array(count * KEY_ID_FIELDS), out = new Uint8Array(1 << 16)
    t.equal(b.vault.openKeyIds(Uint32Array.of(b.epoch), ids, count, opened), count)
    const column = (i: number): Uint32Array => Uint32Array.from({ length: count }, (_, n) => opened[n * KEY_ID_FIELDS + i]!)
    t.ok(column(1).every(n => n === 77) && column(4).every(n => n === 5))
    const length = b.vault.serve(count, ids, new Uint32Array(count).fill(block), column(2).map(place => place * 8), column(3), '', '', out)
    t.equal(utf8.decode(out.subarray(0, length)), text, 'the slave gets the same bytes under the same IDs')
    offset += count * up8(size)
  }
  t.same(a.vault.laneCursor(lane), [77, offset])
  t.equal(a.vault.laneLeft(lane), 9000 - CONFIRM_BYTES - offset)
})

t.test('extension members go where the standard puts them', async t => {
  const [a] = twoSites(t.testdir())
  const bytes = randomBytes(300)
  const lane = a.vault.createLane()
  const block = blockAt(a, 1, bytes, [300])
  a.vault.lanePush(lane, block, 0, 248, false)
  const keyExtension = { note: 'Grüße "x"' }, containerExtension = [{ a: null }]
  const members = [`,"key_extension":${JSON.stringify(keyExtension)}`, `,"key_container_extension":${JSON.stringify(containerExtension)}`] as const
  const plain = JSON.parse(expected(a, [0, 16].map(offset => ({ block: 1, offset, bytes: bytes.subarray(offset, offset + 16) })))) as { keys: object[] }
  t.equal(cutText(a.vault, lane, 2, 16, 5, members),
    JSON.stringify({ keys: plain.keys.map(k => ({ ...k, key_extension: keyExtension })), key_container_extension: containerExtension }))
  const out = new Uint8Array(1000), id = a.vault.makeKeyId(a.epoch, 1, 4, 16, 5)
  const length = a.vault.serve(1, id, Uint32Array.of(block), Uint32Array.of(32), Uint32Array.of(16), members[0], '', out)
  t.equal(utf8.decode(out.subarray(0, length)),
    JSON.stringify({ keys: [{ key_ID: id, key: bytes.subarray(32, 48).toString('base64'), key_extension: keyExtension }] }))
  t.throws(() => cutText(a.vault, lane, 1, 16, 5, ['x'.repeat(8192), '']), /invariant violated/)
  t.equal(a.vault.laneLeft(lane), 216, 'a refused call takes nothing')
})

t.test('too little, or no room: nothing moves and nothing is written', async t => {
  const [a] = twoSites(t.testdir())
  const bytes = randomBytes(300)
  const lane = a.vault.createLane()
  t.equal(cutText(a.vault, lane, 1, 32), CUT_INSUFFICIENT)
  t.same(a.vault.laneCursor(lane), [0, 0])
  a.vault.lanePush(lane, blockAt(a, 1, bytes, [300]), 0, 96, false)
  t.equal(cutText(a.vault, lane, 4, 32), CUT_INSUFFICIENT)
  const text = expected(a, [0, 32, 64].map(offset => ({ block: 1, offset, bytes: bytes.subarray(offset, offset + 32) })))
  const short = new Uint8Array(text.length - 1)
  t.equal(a.vault.cut(lane, 3, 32, 5, '', '', short, new Uint32Array(CUT_TAKEN)), CUT_NO_ROOM)
  t.ok(short.every(byte => byte === 0))
  t.equal(a.vault.laneLeft(lane), 96)
  const exact = new Uint8Array(text.length)
  t.equal(a.vault.cut(lane, 3, 32, 5, '', '', exact, new Uint32Array(CUT_TAKEN)), text.length)
  t.equal(utf8.decode(exact), text)
  t.equal(a.vault.laneLeft(lane), 0)
})

t.test('keys straddle frames, requests straddle blocks, the tail of a block is skipped and told', async t => {
  const [a] = twoSites(t.testdir())
  const first = randomBytes(150), second = randomBytes(400)
  const lane = a.vault.createLane()
  a.vault.lanePush(lane, blockAt(a, 8, first, [50, 7, 93]), 0, 102, true)
  a.vault.lanePush(lane, blockAt(a, 9, second, [1, 199, 200]), 0, 352, true)
  const taken = new Uint32Array(CUT_TAKEN)
  const keys = [[8, 0], [8, 40], [9, 0], [9, 40], [9, 80]] as const
  t.equal(cutText(a.vault, lane, 5, 40, 5, ['', ''], taken),
    expected(a, keys.map(([block, offset]) => ({ block, offset, bytes: (block === 8 ? first : second).subarray(offset, offset + 40) }))))
  t.same([...taken], [8, 0, 0, 22, 232, 1])
  t.equal(a.vault.laneTrim(lane), 1, 'as the cut told')
  t.same(a.vault.laneCursor(lane), [9, 120])
})

t.test('handles of leases are guarded', async t => {
  const [a] = twoSites(t.testdir())
  const lane = a.vault.createLane(), block = blockAt(a, 1, randomBytes(300), [300])
  a.vault.lanePush(lane, block, 0, 64, false)
  t.throws(() => a.vault.dropBlock(block), /invariant violated/)
  t.throws(() => a.vault.lanePush(lane, block, 0, 64, false), /invariant violated/, 'no byte is leased twice')
  t.throws(() => a.vault.lanePush(lane, block, 64, 300, true), /invariant violated/, 'the confirmation bytes are never leased')
  t.throws(() => a.vault.lanePush(lane, a.vault.createBlock(2, 0, Uint32Array.of(100)), 0, 8, false), /invariant violated/, 'no epoch')
  t.throws(() => a.vault.lanePush(block as unknown as LaneHandle, block, 64, 128, false), /invariant violated/)
  for (const [count, size, association] of [[0, 32, 0], [1025, 32, 0], [1, 0, 0], [1, 1025, 0], [1, 32, 65536]] as const) {
    t.throws(() => cutText(a.vault, lane, count, size, association), /invariant violated/)
  }
  const serve = (offset: number, length: number, id = a.vault.makeKeyId(a.epoch, 1, 0, 8, 0)): number =>
    a.vault.serve(1, id, Uint32Array.of(block), Uint32Array.of(offset), Uint32Array.of(length), '', '', new Uint8Array(200))
  t.throws(() => serve(245, 8), /invariant violated/)
  t.throws(() => serve(0xFFFFFFFF, 8), /invariant violated/)
  t.throws(() => serve(0, 0), /invariant violated/)
  t.throws(() => serve(0, 8, 'z'.repeat(36)), /invariant violated/)
  t.ok(serve(244, 8) > 0)
  a.vault.dropLane(lane)
  t.notOk(a.vault.frameLoaded(block, 0))
  t.throws(() => serve(0, 8), /invariant violated/, 'a frame that was wiped is not served')
  a.vault.dropBlock(block)
})

t.test('random leases and cuts: no byte twice, every key is the block\'s bytes, every ID says where', async t => {
  const folder = t.testdir()
  fc.assert(fc.property(fc.array(fc.oneof(
    { weight: 1, arbitrary: fc.record({ frames: fc.array(fc.integer({ min: 60, max: 400 }), { minLength: 1, maxLength: 4 }), lease: fc.integer({ min: 8, max: 600 }) }) },
    { weight: 3, arbitrary: fc.record({ count: fc.integer({ min: 1, max: 5 }), size: fc.integer({ min: 1, max: 90 }) }) },
  ), { minLength: 20, maxLength: 60 }), steps => {
    const [a] = twoSites(folder, 512)
    const lane = a.vault.createLane(), blocks: { bytes: Buffer, used: Set<number> }[] = []
    let left = 0
    for (const step of steps) {
      if ('lease' in step) {
        const total = step.frames.reduce((sum, n) => sum + n, 0), bytes = randomBytes(total)
        const block = blockAt(a, blocks.length, bytes, step.frames), usable = total - CONFIRM_BYTES
        blocks.push({ bytes, used: new Set() })
        const to = Math.min(usable, step.lease)
        a.vault.lanePush(lane, block, 0, to === usable ? to : to - to % 8, to === usable)
        left += to === usable ? to : to - to % 8
        continue
      }
      const text = cutText(a.vault, lane, step.count, step.size)
      if (typeof text === 'number') {
        if (a.vault.laneLeft(lane) !== left) return false
        continue
      }
      left = a.vault.laneLeft(lane)
      for (const { key_ID: id, key } of (JSON.parse(text) as { keys: { key_ID: string, key: string }[] }).keys) {
        const out = new Uint32Array(KEY_ID_FIELDS)
        if (a.vault.openKeyIds(Uint32Array.of(a.epoch), id, 1, out) !== 1) return false
        const { bytes, used } = blocks[out[1]!]!, offset = out[2]! * 8
        if (out[3] !== step.size || !bytes.subarray(offset, offset + step.size).equals(Buffer.from(key, 'base64'))) return false
        for (let i = offset; i < offset + step.size; i++) {
          if (used.has(i) || i >= bytes.length - CONFIRM_BYTES) return false
          used.add(i)
        }
      }
    }
    a.vault.zeroize()
    return true
  }), { numRuns: 60 })
})
