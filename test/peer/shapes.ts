/** Bodies of messages out of their schemas: fitting ones, and every way to spoil one field. Reads the schema by itself, without the checker under test. */

/** What schemas of messages are made of (JSON Schema, with bytes). */
interface Words {
  type: string, const: unknown, anyOf: readonly Shape[]
  properties: Readonly<Record<string, Shape>>, required: readonly string[], additionalProperties: unknown
  items: Shape, minItems: number, maxItems: number, minimum: number, maximum: number, multipleOf: number
  minLength: number, maxLength: number, minByteLength: number, maxByteLength: number
}
type Shape = { readonly [W in keyof Words]?: Words[W] | undefined }
type Fields = Readonly<Record<string, unknown>>

export interface Draw { integer (below: number): number }

const within = (n: number, min = 0, max = Infinity): boolean => n >= min && n <= max
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

/** Whether a value is what the schema says. */
export const fits = (shape: Shape, value: unknown): boolean => {
  if (shape.anyOf !== undefined) return shape.anyOf.some((one) => fits(one, value))
  if ('const' in shape) return value === shape.const
  switch (shape.type) {
    case 'null': return value === null
    case 'boolean': return typeof value === 'boolean'
    case 'integer': return typeof value === 'number' && Number.isInteger(value) && within(value, shape.minimum, shape.maximum) && value % (shape.multipleOf ?? 1) === 0
    case 'string': return typeof value === 'string' && within(value.length, shape.minLength, shape.maxLength)
    case 'Uint8Array': return value instanceof Uint8Array && within(value.length, shape.minByteLength, shape.maxByteLength)
    case 'array': return Array.isArray(value) && within(value.length, shape.minItems, shape.maxItems) && value.every((item) => fits(shape.items!, item))
    case 'object': return isFields(value) && shape.required!.every((name) => name in value) &&
      Object.entries(value).every(([name, field]) => name in shape.properties! ? fits(shape.properties![name]!, field) : shape.additionalProperties !== false)
    default: throw new Error(`a schema of a message with ${JSON.stringify(shape)}`)
  }
}

/** The least value that fits, with one item in each array. */
export const least = (shape: Shape): unknown => {
  if (shape.anyOf !== undefined) return least(shape.anyOf[0]!)
  if ('const' in shape) return shape.const
  switch (shape.type) {
    case 'integer': return shape.minimum ?? 0
    case 'string': return 'x'.repeat(shape.minLength ?? 0)
    case 'Uint8Array': return new Uint8Array(shape.minByteLength ?? 0)
    case 'array': return Array.from({ length: Math.max(1, shape.minItems ?? 0) }, () => least(shape.items!))
    case 'object': return Object.fromEntries(Object.entries(shape.properties!).map(([name, field]) => [name, least(field)]))
    default: return shape.type === 'boolean' ? false : null
  }
}

const nested = (depth: number): unknown => depth === 0 ? 1 : [nested(depth - 1)]
/** Of every kind and size. Most fit nowhere. */
const strangers: readonly unknown[] = [
  null, true, 0, -0.5, -1, 1.5, NaN, Infinity, -Infinity, 2 ** 32, 2 ** 53, -(2 ** 53), 1e300, 2n ** 63n, -(2n ** 62n), '', 'x', '0', '\u0000', 'x'.repeat(9_000),
  new Uint8Array(), new Uint8Array(9_000), [], [null], Array(40).fill(0), {}, { length: 1 }, { type: 'Buffer', data: [] }, nested(6), nested(200),
]

/** Just within and just outside of what the schema allows. */
function * edges (shape: Shape, value: unknown): Iterable<unknown> {
  const { minimum, maximum, multipleOf = 1 } = shape
  if (shape.type === 'integer') yield * [minimum! - multipleOf, minimum! - 1, minimum! + multipleOf, minimum! + multipleOf / 2, maximum! - 1, maximum!, maximum! + 1, maximum! + multipleOf]
  if (shape.type === 'string') yield * [shape.minLength ?? 0, shape.maxLength!, shape.maxLength! + 1].map((length) => 'x'.repeat(length))
  if (shape.type === 'Uint8Array') yield * [(shape.minByteLength ?? 0) - 1, shape.maxByteLength!, shape.maxByteLength! + 1].filter((length) => length >= 0).map((length) => new Uint8Array(length))
  if (shape.type === 'array') yield * [(shape.minItems ?? 0) - 1, shape.maxItems!, shape.maxItems! + 1].filter((length) => length >= 0).map((length) => Array.from({ length }, () => (value as unknown[])[0]))
}

/** A value with one place changed in every way: missing, of another kind, beyond each bound, nested, with something beside it. */
export function * spoiled (shape: Shape, value: unknown, where = ''): Iterable<{ readonly where: string, readonly value: unknown }> {
  if (where !== '') for (const stranger of strangers) yield { where, value: stranger }
  for (const edge of edges(shape, value)) yield { where, value: edge }
  if (shape.anyOf !== undefined) for (const one of shape.anyOf) yield * spoiled(one, least(one), where)
  if (shape.type === 'array') for (const item of spoiled(shape.items!, (value as unknown[])[0], `${where}/0`)) yield { where: item.where, value: [item.value, ...(value as unknown[]).slice(1)] }
  if (shape.type !== 'object') return
  const fields = value as Fields
  yield { where, value: { ...fields, more: 1 } }
  for (const [name, field] of Object.entries(shape.properties!)) {
    const { [name]: _, ...rest } = fields
    yield { where: `${where}/${name} is missing`, value: rest }
    for (const one of spoiled(field, fields[name], `${where}/${name}`)) yield { where: one.where, value: { ...rest, [name]: one.value } }
  }
}

/** Any value that fits: bounds and small numbers more often than others, the same item several times; texts are of `words`, where they fit. */
export const drawn = (shape: Shape, draw: Draw, words: readonly string[]): unknown => {
  const among = <T>(values: readonly T[]): T => values[draw.integer(values.length)]!
  if (shape.anyOf !== undefined) return drawn(among(shape.anyOf), draw, words)
  const { minimum = 0, maximum = 0, multipleOf = 1, minItems = 0, maxItems = 0, minByteLength = 0, maxByteLength = 0 } = shape
  switch (shape.type) {
    case 'integer': return among([minimum, minimum + multipleOf, ...Array.from({ length: 4 }, () => Math.min(maximum, minimum + multipleOf * draw.integer(24))), Math.floor(maximum / multipleOf) * multipleOf])
    case 'string': return 'const' in shape ? shape.const : among(words.filter((word) => fits(shape, word)))
    case 'Uint8Array': return new Uint8Array(among([minByteLength, maxByteLength, minByteLength + draw.integer(Math.min(64, maxByteLength - minByteLength + 1))])).fill(draw.integer(3))
    case 'array': return Array.from({ length: among([minItems, Math.min(maxItems, Math.max(1, minItems)), Math.min(maxItems, 3), Math.min(maxItems, 64)]) }, () => drawn(shape.items!, draw, words))
    case 'object': return Object.fromEntries(Object.entries(shape.properties!).map(([name, field]) => [name, drawn(field, draw, words)]))
    default: return shape.type === 'boolean' ? draw.integer(2) === 1 : least(shape)
  }
}
