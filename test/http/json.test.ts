/** The strict JSON reader against JSON.parse, and the query reader. */
import fc from 'fast-check'
import t from 'tap'
import { readJson } from '../../src/http/json.js'
import { pathSaeId, queryInteger, readQuery } from '../../src/http/query.js'

const read = (text: string, depth = 32): unknown => readJson(Buffer.from(text), depth)
/** Members as JSON.parse would have them: the reader's objects have no prototype. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown

t.test('whatever JSON.stringify writes is read as it was', async (t) => {
  t.doesNotThrow(() => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      return JSON.stringify(plain(read(text))) === JSON.stringify(JSON.parse(text))
    }), { numRuns: 300 })
  })
})

t.test('whatever is accepted means the same to JSON.parse; nothing else than a refusal is thrown', async (t) => {
  const piece = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"a"', '"b":', '1', '-', '0', '.5', 'e3', 'true', 'null', ' ', '\n', '\\', '\\u0041', '\\ud800', 'é', '\u0000', '\ufeff')
  let accepted = 0
  fc.assert(fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
    const text = pieces.join('')
    let value: unknown
    try {
      value = read(text)
    } catch (error) {
      return (error as { code?: string }).code === 'BAD_REQUEST'
    }
    accepted++
    return JSON.stringify(plain(value)) === JSON.stringify(JSON.parse(text))
  }), { numRuns: 20_000 })
  t.ok(accepted > 100)
})

t.test('what JSON.parse accepts and we refuse', async (t) => {
  for (const text of ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"a":{"b":1,"b":1}}', '"\\ud800"', '"\\udc00\\ud800"', '1.00000000000000000001', '1e400', '0.99999999999999999999', '1e-999']) {
    t.throws(() => read(text), { code: 'BAD_REQUEST' }, text)
  }
  t.equal(read('"\\ud83d\\ude00"'), '😀')
  t.same(read('[1.0,1e0,10e-1,0.1e1,-0,0e5,1E+2]'), [1, 1, 1, 1, -0, 0, 100])
})

t.test('members named like parts of Object are members', async (t) => {
  const object = read('{"__proto__":1,"constructor":2,"toString":3}') as Record<string, unknown>
  t.same([object['__proto__'], object['constructor'], object['toString']], [1, 2, 3])
  t.equal(Object.getPrototypeOf(object), null)
  t.throws(() => read('{"__proto__":1,"__proto__":1}'), /repeated/)
})

t.test('bytes that are not UTF-8, and a byte order mark, are refused', async (t) => {
  for (const bytes of [[0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xe2, 0x82, 0x22], [0xef, 0xbb, 0xbf, 0x31], [0xff, 0xfe, 0x31, 0x00]]) {
    t.throws(() => readJson(new Uint8Array(bytes), 32), { code: 'BAD_REQUEST' })
  }
})

t.test('nesting is bounded exactly', async (t) => {
  t.doesNotThrow(() => read('[[[]]]', 3))
  t.throws(() => read('[[[]]]', 2), /nesting/)
  t.throws(() => read('{"a":{"b":{}}}', 2), /nesting/)
  t.throws(() => read('['.repeat(60_000)), /nesting/)
  t.doesNotThrow(() => read('[[],[],[],[]]', 2), 'depth, not count')
})

t.test('an error says where', async (t) => {
  t.throws(() => read('{"a":1 "b"}'), { message: 'the body is not valid JSON: a comma or } was expected at character 7' })
})

t.test('queries: decoded names and values, each once, none empty', async (t) => {
  t.same([...readQuery('a=1&b=%32', ['a', 'b'])], [['a', '1'], ['b', '2']])
  t.same([...readQuery(undefined, ['a']), ...readQuery('', ['a'])], [])
  for (const query of ['a', 'a=', '=1', '&', 'a=1&', 'a=1&a=2', 'a=1&%61=2', 'c=1', 'a=%', 'a=%f', '%zz=1', '__proto__=1']) t.throws(() => readQuery(query, ['a']), { code: 'BAD_REQUEST' }, query)
  t.same(['12', '0', '007', '', '-1', '1.0', '1e3', ' 1', '1234567890123456'].map(queryInteger), [12, 0, 7, NaN, NaN, NaN, NaN, NaN, NaN])
})

t.test('path segments: an encoded slash stays in the ID', async (t) => {
  t.equal(pathSaeId('a%2Fb', 'x'), 'a/b')
  t.equal(pathSaeId('a%252Fb', 'x'), 'a%2Fb')
  for (const segment of ['', '%', '%2', 'a b', 'a%20b', '%00', 'é', 'x'.repeat(65)]) t.throws(() => pathSaeId(segment, 'x'), { code: 'BAD_REQUEST' })
})
