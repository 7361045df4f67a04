import t from 'tap'
import { loadPost } from '../../src/post/native.js'
import { PRESHARED_BYTES_MIN, REFILL_BYTES, Transcript } from '../../src/post/transcript.js'

const bytes = (length: number, step = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => i * step)
const pair = (size = PRESHARED_BYTES_MIN) => ({ alice: new Transcript('alice', bytes(size, 7)), bob: new Transcript('bob', bytes(size, 7)) })

t.test('a tag is the hash of number, lengths and messages under a pad: known bytes', async t => {
  const { alice } = pair(), preShared = bytes(PRESHARED_BYTES_MIN, 7), message = bytes(5)
  alice.said(message)
  const hash = new (loadPost().PolyHash)(preShared.slice(0, 16))
  hash.update(new Uint8Array(8))
  hash.update(Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0))
  hash.update(message)
  const { number, tag } = alice.ownTag()
  t.equal(number, 0)
  t.same(tag, hash.final().map((x, i) => x ^ preShared[32 + i]!))
})

t.test('what was said is what was heard, or the tag is refused', async t => {
  const run = (said: Uint8Array[], heard: Uint8Array[]) => {
    const { alice, bob } = pair()
    said.forEach((m) => { alice.said(m) })
    heard.forEach((m) => { bob.heard(m) })
    const { number, tag } = alice.ownTag()
    bob.checkTag(number, tag)
  }
  const refused = { code: 'TAG_INVALID' }
  const a = bytes(20), b = bytes(33, 3), changed = b.slice()
  changed[20]! ^= 1
  t.doesNotThrow(() => { run([a, b], [a, b]) })
  t.throws(() => { run([a, b], [a, changed]) }, refused, 'one bit')
  t.throws(() => { run([a, b], [b, a]) }, refused, 'other order')
  t.throws(() => { run([a, b], [a]) }, refused, 'one lost')
  t.throws(() => { run([a], [a, a]) }, refused, 'one doubled')
  t.throws(() => { run([bytes(0), a], [a]) }, refused, 'an empty one')
  const joined = new Uint8Array([...a, ...b])
  t.throws(() => { run([a, b], [joined]) }, refused, 'cut in another way')
})

t.test('a tag holds for its direction and its number only', async t => {
  const { alice, bob } = pair(512), first = alice.ownTag(), second = alice.ownTag()
  t.throws(() => { alice.checkTag(first.number, first.tag) }, { code: 'TAG_INVALID' }, 'sent back to its sender')
  t.throws(() => { bob.checkTag(second.number, second.tag) }, { code: 'TAG_INVALID' }, 'the second before the first')
  const other = new Transcript('bob', bytes(512, 5))
  t.throws(() => { other.checkTag(first.number, first.tag) }, { code: 'TAG_INVALID' }, 'another key')
  t.notSame(first.tag, second.tag)
})

t.test('pads are counted, run out, and come back from key', async t => {
  const { alice } = pair()
  t.equal(alice.blocksLeft, 2)
  alice.ownTag()
  alice.ownTag()
  t.equal(alice.usedBits, 256)
  t.equal(alice.blocksLeft, 0)
  t.throws(() => alice.ownTag(), { code: 'NO_KEYS' })
  alice.refill(bytes(REFILL_BYTES))
  t.equal(alice.blocksLeft, 1)
  t.throws(() => new Transcript('alice', bytes(PRESHARED_BYTES_MIN - 1)), { code: 'BAD_REQUEST' })
})
