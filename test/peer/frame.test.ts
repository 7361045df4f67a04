import fc from 'fast-check'
import t from 'tap'
import { FRAME_BYTES_MAX, frameBytes, parseFrame, writeHeader, type FrameHeader } from '../../src/peer/frame.js'
import { Refusal } from '../../src/peer/refusal.js'

const id = fc.stringMatching(/^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]{1,64}$/)
const ref = fc.record({ block: fc.nat({ max: 2 ** 48 - 1 }), offset: fc.nat({ max: 0xffff }) })
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const header: fc.Arbitrary<FrameHeader> = fc.record({
  version: fc.constant(1), type: fc.integer({ min: 0, max: 0xffff }), tagged: fc.boolean(), fromAcceptor: fc.boolean(),
  source: id, destination: id, incarnation: count, number: count, hashKey: ref, pad: ref, bodyBytes: fc.integer({ min: 0, max: 300 }),
}).map((h) => h.tagged ? h : { ...h, hashKey: { block: 0, offset: 0 }, pad: { block: 0, offset: 0 } })

const write = (h: FrameHeader): Uint8Array => {
  const bytes = new Uint8Array(frameBytes(h))
  bytes.fill(0xee, writeHeader(h, bytes))
  return bytes
}

const reasonOf = (bytes: Uint8Array): string => {
  try {
    parseFrame(bytes, 1)
    return ''
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
}

t.test('what is written is read back, and every other length is refused', async () => {
  fc.assert(fc.property(header, (h) => {
    const bytes = write(h)
    const { header: read, bodyAt, tagAt } = parseFrame(bytes, 1)
    const same = (Object.keys(h) as (keyof FrameHeader)[]).every((key) => JSON.stringify(read[key]) === JSON.stringify(h[key]))
    return same && tagAt - bodyAt === h.bodyBytes && bytes.length - tagAt === (h.tagged ? 16 : 0)
  }))
  fc.assert(fc.property(header, fc.nat({ max: 400 }), (h, cut) => reasonOf(write(h).subarray(0, Math.max(0, frameBytes(h) - 1 - cut))) === 'malformed'))
  fc.assert(fc.property(header, (h) => reasonOf(new Uint8Array([...write(h), 0])) === 'malformed'))
})

t.test('any bytes are refused or have exactly one meaning', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    if (reasonOf(bytes) !== '') return true
    const { header: h, bodyAt } = parseFrame(bytes, 1)
    const again = bytes.slice()
    writeHeader(h, again)
    return Buffer.from(again).equals(bytes) && bodyAt <= bytes.length
  }))
})

t.test('a block has 48 bits: the lower 32 stand before the offset, the others behind it', async (t) => {
  const header: FrameHeader = {
    version: 1, type: 6, tagged: true, fromAcceptor: false, source: 'a', destination: 'b', incarnation: 5, number: 9,
    hashKey: { block: 2 ** 32 - 1, offset: 0xf7d0 }, pad: { block: 0x9abc_1234_5678, offset: 16 }, bodyBytes: 0,
  }
  t.equal(Buffer.from(write(header)).toString('hex', 24, 40), 'ffffffff' + 'd0f7' + '0000' + '78563412' + '1000' + 'bc9a')
  for (const block of [2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 48 - 1]) t.equal(parseFrame(write({ ...header, pad: { block, offset: 0 } }), 1).header.pad.block, block)
  for (const at of [30, 38]) { // Such a number is more than 0, even where 32 bits of it are not.
    const bytes = write({ ...header, tagged: false, hashKey: { block: 0, offset: 0 }, pad: { block: 0, offset: 0 } })
    bytes[at] = 1
    t.equal(reasonOf(bytes), 'malformed')
  }
})

t.test('refusals', async (t) => {
  const good: FrameHeader = {
    version: 1, type: 6, tagged: true, fromAcceptor: false, source: 'kme-a', destination: 'kme-b', incarnation: 5, number: 9,
    hashKey: { block: 1, offset: 0 }, pad: { block: 1, offset: 16 }, bodyBytes: 20,
  }
  const changed = (at: number, ...values: number[]): string => {
    const bytes = write(good)
    bytes.set(values, at)
    return reasonOf(bytes)
  }
  t.equal(changed(0, 2), 'version')
  t.equal(changed(1, 4 | 1), 'malformed', 'a flag that nobody knows')
  t.equal(changed(4, 0xff, 0xff, 0xff, 0xff), 'malformed', 'a body of 4 GiB')
  t.equal(changed(8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 'malformed', 'an incarnation above 2^53')
  t.equal(changed(40, 0), 'malformed', 'no source')
  t.equal(changed(40, 200), 'malformed', 'a source that reaches beyond the end')
  t.equal(changed(42, 0x20), 'malformed', 'a source with a space')
  t.equal(changed(47, 0xe9), 'malformed', 'a destination beyond ASCII')
  t.equal(reasonOf(new Uint8Array(FRAME_BYTES_MAX + 1)), 'malformed')
  t.equal(reasonOf(new Uint8Array(0)), 'malformed')
  const untagged = write({ ...good, tagged: false, hashKey: { block: 0, offset: 0 }, pad: { block: 0, offset: 0 } })
  t.equal(reasonOf(untagged), '')
  untagged[36] = 1
  t.equal(reasonOf(untagged), 'malformed', 'a pad without a tag')
})
