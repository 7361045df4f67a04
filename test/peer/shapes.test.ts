import { isDeepStrictEqual } from 'node:util'
import { pack } from 'msgpackr'
import t from 'tap'
import { unpackBody } from '../../src/peer/body.js'
import { messages, type MessageName } from '../../src/peer/messages.js'
import { Refusal } from '../../src/peer/refusal.js'
import { fits, least, spoiled } from './shapes.js'

/** Bytes compare as bytes, whatever class holds them. */
const plain = (value: unknown): unknown => value instanceof Uint8Array
  ? Buffer.from(value).toString('latin1')
  : Array.isArray(value) ? value.map(plain) : typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)])) : value

/** @returns '' when the body was taken just as it is, else why it was not. */
const read = (name: MessageName, body: unknown): string => {
  const bytes = pack(body)
  try {
    return isDeepStrictEqual(plain(unpackBody(name, bytes)), plain(body)) ? '' : 'taken for something else'
  } catch (error) {
    return error instanceof Refusal && error.message.length > 10 ? error.reason : `not a refusal: ${String(error)}`
  }
}

for (const [name, { schema }] of Object.entries(messages) as [MessageName, (typeof messages)[MessageName]][]) {
  t.test(`${name}: whatever one field holds, the body is refused with a reason or fits`, async (t) => {
    const good = least(schema)
    t.equal(read(name, good), '')
    const wrong: string[] = []
    let taken = 0, refused = 0
    for (const { where, value } of spoiled(schema, good)) {
      const shouldFit = fits(schema, value), said = read(name, value)
      if (shouldFit) taken++; else refused++
      if (shouldFit ? said !== '' : said !== 'schema' && said !== 'body') wrong.push(`${where}: ${said === '' ? 'taken, and should not be' : said}`)
    }
    t.same(wrong, [])
    t.ok(refused > 25 && taken > 0, `${refused} bodies refused, ${taken} taken`)
  })
}
