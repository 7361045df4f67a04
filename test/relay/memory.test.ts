import t from 'tap'
import { RECORD_STRIDE } from '../../src/device/native.js'
import { SHARE_FRAMES_MAX } from '../../src/peer/messages.js'
import { FrameMemory } from '../../src/relay/memory.js'
import type { DeskPorts, RelayedPool } from '../../src/relay/ports.js'
import { FRAME_BYTES_MAX, FrameSealer } from '../../src/relay/share.js'

t.test('what is given back serves again, once; small pieces are made anew', (t) => {
  const memory = new FrameMemory(), a = memory.take(SHARE_FRAMES_MAX), b = memory.take(SHARE_FRAMES_MAX - 1)
  t.equal(b.length, SHARE_FRAMES_MAX * RECORD_STRIDE, 'large ones are all alike')
  t.not(a, b)
  memory.give(a)
  t.throws(() => { memory.give(a) }, /given back once/, 'else two jobs would share it')
  t.equal(memory.take(40), a)
  t.not(memory.take(40), a)
  const small = memory.take(16)
  t.equal(small.length, 16 * RECORD_STRIDE)
  memory.give(small)
  t.not(memory.take(16), small)
  t.throws(() => memory.take(SHARE_FRAMES_MAX + 1), /1 to 64 frames/)
  t.end()
})

t.test('no more than 16 pieces are kept', (t) => {
  const memory = new FrameMemory(), all = Array.from({ length: 20 }, () => memory.take(SHARE_FRAMES_MAX))
  for (const piece of all) memory.give(piece)
  t.equal(Array.from({ length: 20 }, () => memory.take(SHARE_FRAMES_MAX)).filter((piece) => all.includes(piece)).length, 16)
  t.end()
})

t.test('a record of a share is kept only for the same frame of the same job, under the same key of the same start; nothing old lies behind it', (t) => {
  const memory = new FrameMemory(), pool = { poolId: 'relay:Z', link: 9 } as unknown as RelayedPool, job = (n: number): Uint8Array => new Uint8Array(16).fill(n)
  const sealing = (of = 1, slot = 1, start = 1): FrameSealer => new FrameSealer({ memory, start, keys: { sealer: () => ({ sealer: 0, slot }) } } as unknown as DeskPorts, pool, job(of), 64)
  const seal = (_sealer: number, header: Uint8Array, out: Uint8Array): number => { out.set(header); out.fill(7, header.length, FRAME_BYTES_MAX + 92); return FRAME_BYTES_MAX + 92 }
  const whole = sealing(), [first, second] = [whole.seal(FRAME_BYTES_MAX, seal), whole.seal(FRAME_BYTES_MAX, seal)]
  for (const [what, other, record, length] of [
    ['another frame', sealing(), second, FRAME_BYTES_MAX], ['another length', sealing(), first, FRAME_BYTES_MAX - 8], ['another job', sealing(2), first, FRAME_BYTES_MAX],
    ['another key', sealing(1, 2), first, FRAME_BYTES_MAX], ['another start', sealing(1, 1, 2), first, FRAME_BYTES_MAX],
  ] as const) t.equal(other.keep(record, length), undefined, what)
  const used = memory.take(64).fill(9)
  memory.give(used)
  const joined = sealing(), kept = joined.keep(first, FRAME_BYTES_MAX)
  t.equal(joined.records, used, 'memory that served before')
  t.same(kept, first)
  t.ok(joined.records.subarray(first.length, RECORD_STRIDE).every((byte) => byte === 0))
  t.same(joined.keep(second, FRAME_BYTES_MAX), second, 'the next one follows')
  t.end()
})
