import t from 'tap'
import { RECORD_STRIDE } from '../../src/device/native.js'
import { SHARE_FRAMES_MAX } from '../../src/peer/messages.js'
import { FrameMemory } from '../../src/relay/memory.js'

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
