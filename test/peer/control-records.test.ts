import fc from 'fast-check'
import t from 'tap'
import { makeClose, makeRecord, RecordReader, recordTypes } from '../../src/peer/control/records.js'
import { FRAME_BYTES_MAX } from '../../src/peer/frame.js'

const reading = (): { reader: RecordReader, told: string[] } => {
  const told: string[] = []
  const reader = new RecordReader({
    frame: (bytes) => { told.push(`frame ${Buffer.from(bytes).toString('hex')}`) }, ping: () => { told.push('ping') }, pong: () => { told.push('pong') },
    close: (reason, text) => { told.push(`close ${reason} ${text}`) },
  })
  return { reader, told }
}

t.test('records come out as they went in, however the stream is cut', async () => {
  const record = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => ({ bytes: makeRecord('frame', bytes), text: `frame ${Buffer.from(bytes).toString('hex')}` })),
    fc.constantFrom({ bytes: makeRecord('ping'), text: 'ping' }, { bytes: makeRecord('pong'), text: 'pong' }, { bytes: makeClose('tag', 'wörong'), text: 'close tag w?rong' }),
  )
  fc.assert(fc.property(fc.array(record, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (records, cuts) => {
    const { reader, told } = reading(), all = Buffer.concat(records.map(({ bytes }) => bytes))
    for (let at = 0, i = 0; at < all.length; at += cuts[i++ % cuts.length]!) reader.push(all.subarray(at, at + cuts[i % cuts.length]!))
    return told.join() === records.map(({ text }) => text).join()
  }), { numRuns: 200 })
})

t.test('lengths and types that cannot be are refused before anything is kept for them', async (t) => {
  const bad = (type: number, length: number): Uint8Array => {
    const head = new Uint8Array(5)
    head[0] = type
    new DataView(head.buffer).setUint32(1, length, true)
    return head
  }
  const cases: [number, number][] = [[recordTypes.frame, 0], [recordTypes.frame, FRAME_BYTES_MAX + 1], [recordTypes.frame, 0xffff_ffff], [recordTypes.ping, 1], [recordTypes.pong, 9], [recordTypes.close, 1], [recordTypes.close, 126], [0, 0], [5, 1]]
  for (const [type, length] of cases) t.throws(() => { reading().reader.push(bad(type, length)) }, { code: 'PROTOCOL' }, `type ${type}, ${length} bytes`)
  const { reader, told } = reading()
  reader.push(makeRecord('frame', new Uint8Array(FRAME_BYTES_MAX)))
  t.equal(told.length, 1, 'the largest frame is none of them')
})

t.test('after `stop` nothing is told, also not of what came in the same piece', async (t) => {
  const told: string[] = []
  const reader: RecordReader = new RecordReader({ frame: () => {}, ping: () => { told.push('ping'); reader.stop() }, pong: () => { told.push('pong') }, close: () => {} })
  reader.push(Buffer.concat([makeRecord('ping'), makeRecord('pong')]))
  t.same(told, ['ping'])
})
