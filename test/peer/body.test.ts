import fc from 'fast-check'
import { pack } from 'msgpackr'
import t from 'tap'
import { kindOf, kindOfCode, packBody, unpackBody } from '../../src/peer/body.js'
import { messages, type MessageName } from '../../src/peer/messages.js'
import { scanBody, scanLimits } from '../../src/peer/msgpack-scan.js'
import { Refusal } from '../../src/peer/refusal.js'
import { helloOf, samples } from './desk.js'

const reasonOf = (run: () => unknown): string => {
  try {
    run()
    return ''
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
}
const scanned = (...parts: (readonly number[] | Uint8Array)[]): string => reasonOf(() => { scanBody(Buffer.concat(parts.map((part) => Uint8Array.from(part)))) })
/** A map with one entry `a`, whose value follows. */
const mapA = [0x81, 0xa1, 0x61]

t.test('every message survives the way there', async (t) => {
  const all: Partial<Record<MessageName, object>> = { ...samples, hello: { ...helloOf('kme-a', 2 ** 50), connection: new Uint8Array(16) } }
  for (const [name, body] of Object.entries(all)) {
    const read = unpackBody(name as MessageName, packBody(name as MessageName, body as object))
    t.same(read, body, name)
  }
})

t.test('decoded bytes are copies: the frame\'s memory is used again', async (t) => {
  const bytes = packBody('chainHead', samples.chainHead)
  const read = unpackBody('chainHead', bytes) as { head: Uint8Array }
  bytes.fill(0)
  t.same(Buffer.from(read.head), Buffer.alloc(32, 7))
})

t.test('bombs are refused without being built', async (t) => {
  t.equal(scanned(mapA, [0xdd, 0xff, 0xff, 0xff, 0xff]), 'body', 'an array of four thousand million')
  t.equal(scanned(mapA, [0xdd, 0x01, 0xff, 0xff, 0xff]), 'body', 'an array that a decoder would allocate at once')
  t.equal(scanned([0xdf, 0xff, 0xff, 0xff, 0xff]), 'body', 'a map of four thousand million')
  t.equal(scanned([0xde, 0x00, scanLimits.mapEntries + 1], ...Array.from({ length: 65 }, (_, i) => [0xa2, 0x61, 65 + i % 26, 0xc0])), 'body', 'a map with too many entries')
  t.equal(scanned(mapA, [0xc6, 0xff, 0xff, 0xff, 0xff]), 'body', 'bytes that are not there')
  t.equal(scanned(mapA, [0xdb, 0x00, 0x00, 0x00, 0x05, 0x61]), 'body', 'text that is not there')
  t.equal(scanned(mapA, Array<number>(100_000).fill(0x91), [0xc0]), 'body', 'a hundred thousand arrays in each other')
  t.equal(scanned(mapA, Array<number>(scanLimits.depth - 1).fill(0x91), [0xc0]), '', 'as deep as allowed')
  t.equal(scanned(mapA, Array<number>(scanLimits.depth).fill(0x91), [0xc0]), 'body', 'one deeper')
  const many = scanLimits.values + 1
  t.equal(scanned(mapA, [0xdd, 0, many >> 16, many >> 8 & 255, many & 255], new Uint8Array(many)), 'body', 'more values than allowed')
})

t.test('only plain maps, arrays, numbers, texts and bytes', async (t) => {
  t.equal(scanned([0x93, 1, 2, 3]), 'body', 'not a map')
  t.equal(scanned([]), 'body', 'nothing')
  t.equal(scanned(mapA, [0xc0, 0x00]), 'body', 'something behind the end')
  for (const token of [0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8]) t.equal(scanned(mapA, [token], new Uint8Array(20)), 'body', `type 0x${token.toString(16)}`)
  t.equal(scanned(pack({ a: new Date(0) })), 'body', 'a date')
  t.equal(scanned(pack({ a: new Map([[1, 2]]) })), 'body', 'a map whose key is a number')
  t.equal(scanned([0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2]), 'body', 'a key twice')
  const keys = (...names: string[]): string => scanned([0x80 + names.length], ...names.flatMap((name) => [[0xa0 + name.length], Buffer.from(name), [7]]))
  t.equal(keys('ab1_', 'ac1_', 'ab1', 'Zz'), '', 'keys that differ')
  t.equal(keys('ab1_', 'x', 'ab1_'), 'body', 'a longer key twice, with another between')
  for (const name of ['', '1a', '_a', 'a-b', 'a b', 'a\0', 'prototype']) t.equal(keys(name), 'body', `the key '${name}'`)
  t.equal(scanned([0x81, 0xa9], Buffer.from('__proto__'), [0x80]), 'body', 'a prototype')
  t.equal(scanned([0x81, 0xab], Buffer.from('constructor'), [0x80]), 'body', 'a constructor')
  t.equal(scanned(mapA, [0xa2, 0xc3, 0x28]), 'body', 'text that is not UTF-8')
  t.equal(scanned(mapA, [0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0]), 'body', '2^53')
  t.equal(scanned(mapA, [0xcf, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), '', '2^53 - 1')
  t.equal(scanned(mapA, [0xd3, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 'body', 'below -2^53')
})

t.test('the longest message that a schema allows is not refused by the bounds of the scan', async (t) => {
  const inventory = { highest: 2 ** 32 - 1, blocks: Array.from({ length: 40_000 }, (_, i) => 2 ** 31 + i), flying: Array.from({ length: 1_024 }, (_, i) => 2 ** 32 - 1 - i) }
  t.strictSame(unpackBody('inventory', packBody('inventory', inventory)), inventory)
})

t.test('the decoder never sees what the scan refuses', async (t) => {
  const number = [0xa6, ...Buffer.from('number')]
  t.strictSame(unpackBody('stored', Uint8Array.from([0x81, ...number, 7])), { number: 7 })
  t.equal(reasonOf(() => unpackBody('stored', Uint8Array.from([0x82, ...number, 7, ...number, 8]))), 'body', 'a key twice')
  t.equal(reasonOf(() => unpackBody('hello', Uint8Array.from([0x81, 0xa1, 0x61, 0xdd, 0x01, 0xff, 0xff, 0xff]))), 'body', 'an array that the decoder would make at once')
})

t.test('whatever bytes come, the scan refuses or the decoder agrees with it', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => {
    const bytes = Uint8Array.from([0x81, 0xa6, ...Buffer.from('number'), ...tail])
    const reason = reasonOf(() => unpackBody('stored', bytes))
    return ['', 'body', 'schema'].includes(reason)
  }), { numRuns: 2000 })
})

t.test('a whole number may come as any MessagePack number', async (t) => {
  const seq = [0x81, 0xa3, ...Buffer.from('seq')]
  for (const [what, value] of Object.entries({ fix: [5], u8: [0xcc, 5], u64: [0xcf, 0, 0, 0, 0, 0, 0, 0, 5], i64: [0xd3, 0, 0, 0, 0, 0, 0, 0, 5], f64: [0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0] })) {
    t.strictSame(unpackBody('acknowledge', Uint8Array.from([...seq, ...value])), { seq: 5 }, what)
  }
  t.equal(reasonOf(() => unpackBody('acknowledge', Uint8Array.from([...seq, 0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 1]))), 'schema', 'a fraction')
  t.equal(reasonOf(() => unpackBody('acknowledge', Uint8Array.from([...seq, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]))), 'schema', 'infinity')
})

t.test('another shape is refused, here and there', async (t) => {
  const short = { ...samples.chainHead, head: new Uint8Array(31) }
  t.throws(() => packBody('chainHead', short), /invariant violated/, 'a bug of ours')
  t.equal(reasonOf(() => unpackBody('chainHead', pack(short))), 'schema', 'bytes of another length')
  t.equal(reasonOf(() => unpackBody('stored', pack({ number: 5, more: 1 }))), 'schema', 'a field too many')
  t.equal(reasonOf(() => unpackBody('stored', pack({}))), 'schema', 'a field too few')
  t.equal(reasonOf(() => unpackBody('stored', pack({ number: '5' }))), 'schema', 'another type')
  t.equal(reasonOf(() => kindOfCode(9999)), 'unknown-message')
  for (const name of Object.keys(messages) as MessageName[]) t.equal(kindOfCode(kindOf(name).code).name, name)
})
