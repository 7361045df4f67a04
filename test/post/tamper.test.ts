import t from 'tap'
import { decode } from '../../src/post/wire.js'
import { newLink, runBlocks } from './rig.js'

t.test('a transcript with one bit changed is refused, whichever message it is', async t => {
  // A message of each type, once; the error may come late, but no key does.
  for (const type of ['detections', 'sifting', 'test-bits', 'test-errors', 'start', 'correct', 'verify', 'verdict', 'amplify', 'accept', 'tag'] as const) {
    let changed = false, seen = 0
    const link = newLink(5, (_, bytes) => {
      if (changed || decode(bytes).type !== type || ++seen < (type === 'correct' ? 9 : 1)) return bytes
      changed = true
      const out = bytes.slice()
      out[out.length - 1]! ^= type === 'amplify' ? 1 : 2
      return out
    })
    let keys = 0, code = ''
    try {
      // A hash that is wrong costs the block; that it was changed shows at the next tag.
      for (const { alice, bob } of runBlocks(link, type === 'verify' ? 2 : 1)) keys += (alice.key === undefined ? 0 : 1) + (bob.key === undefined ? 0 : 1)
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error)
    }
    t.ok(changed, `${type}: there was one`)
    // Bob has released his key when Alice misses his last word: she has none, and no later message is taken.
    const bobs = link.takeBlocks()
    t.equal(keys + bobs.length, 0, `${type}: no key`)
    t.ok(code === 'TAG_INVALID' || code === 'PROTOCOL', `${type}: ${code}`)
    t.throws(() => {
      while (link.pump(32));
      link.burst(1e6)
    }, { code }, `${type}: the session is over`)
  }
})
