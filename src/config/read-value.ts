import { KindGuard, type TSchema } from '@sinclair/typebox'
import type { Faults } from './fault.js'
import { parseQuantity, suffixesOf } from './quantity.js'
import { isOptional, variableName, type SettingPath, type SettingSchema } from './settings.js'
import { suggest } from './suggest.js'

/**
 * Reads `raw` (from YAML, or text from a variable) as the schema says: checks, fills in defaults, turns units into numbers. Every
 * fault is noted; the value returned has the schema's shape even then, so that later checks can go on looking for more.
 */
export const readValue = (schema: SettingSchema, raw: unknown, path: SettingPath, faults: Faults): unknown => {
  if (raw === undefined || raw === null) return absent(schema, path, faults)
  if (KindGuard.IsObject(schema)) return readGroup(schema.properties, raw, path, faults)
  if (KindGuard.IsArray(schema)) return readList(schema as unknown as { items: TSchema, maxItems: number }, raw, path, faults)
  const problem = (message: string): unknown => { faults.add(path, message); return placeholder(schema) }
  if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) return readNumber(schema, raw, problem)
  if (KindGuard.IsBoolean(schema)) return typeof raw === 'boolean' ? raw : problem(`must be true or false, not ${kindOf(raw)}`)
  if (typeof raw !== 'string') return problem(`must be text, not ${kindOf(raw)}`)
  if (KindGuard.IsUnion(schema)) {
    const values = schema.anyOf.map((option) => String((option as unknown as { const: unknown }).const))
    return values.includes(raw) ? raw : problem(`must be one of ${values.join(', ')}`)
  }
  return readText(schema, raw, problem)
}

/** The value of a setting that nobody wrote, or a valid-looking one if that is a fault. */
const absent = (schema: SettingSchema, path: SettingPath, faults: Faults): unknown => {
  if (schema.default !== undefined) return KindGuard.IsObject(schema) ? readGroup(schema.properties, {}, path, faults) : structuredClone(schema.default as unknown)
  if (isOptional(schema)) return undefined
  if (KindGuard.IsObject(schema)) return readGroup(schema.properties, {}, path, faults) // Tells which of its settings are missing.
  const inList = path.some((part) => typeof part === 'number')
  faults.add(path, inList ? 'is missing' : `is missing; write it in the file or set ${variableName(path)}`)
  return placeholder(schema)
}

const readGroup = (properties: Record<string, TSchema>, raw: unknown, path: SettingPath, faults: Faults): unknown => {
  const isGroup = typeof raw === 'object' && raw !== null && !Array.isArray(raw)
  if (!isGroup) faults.add(path, `must be a group of settings, not ${kindOf(raw)}`)
  const source = isGroup ? raw as Record<string, unknown> : {}
  for (const name of Object.keys(source)) {
    if (Object.hasOwn(properties, name)) continue
    const near = suggest(name, Object.keys(properties))
    faults.add([...path, name], `is not a setting${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
  const result: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(properties)) {
    const value = isGroup ? readValue(schema, source[name], [...path, name], faults) : placeholder(schema)
    if (value !== undefined) result[name] = value
  }
  return result
}

const readList = (schema: { items: TSchema, maxItems: number }, raw: unknown, path: SettingPath, faults: Faults): unknown => {
  if (!Array.isArray(raw)) {
    faults.add(path, `must be a list, not ${kindOf(raw)}`)
    return []
  }
  if (raw.length > schema.maxItems) {
    faults.add(path, `has ${raw.length} entries; at most ${schema.maxItems} are allowed`)
    return []
  }
  return raw.map((item, index) => readValue(schema.items, item ?? null, [...path, index], faults))
}

const readNumber = (schema: SettingSchema, raw: unknown, problem: (message: string) => unknown): unknown => {
  const unit = schema.unit ?? 'count'
  const value = typeof raw === 'string' ? parseQuantity(raw, unit) : raw
  const suffixes = suffixesOf(unit)
  const form = `${KindGuard.IsInteger(schema) ? 'a whole number' : 'a number'}${unit === 'count' ? '' : ` (${unit})`}`
  if (typeof value !== 'number' || !Number.isFinite(value)) return problem(`must be ${form}${suffixes.length === 0 ? '' : `, alone or with one of ${suffixes.join(', ')}`}, not ${kindOf(raw)}`)
  if (KindGuard.IsInteger(schema) && !Number.isSafeInteger(value)) return problem(`must be ${form}, not ${value}`)
  const { minimum, maximum, multipleOf } = schema as { minimum?: number, maximum?: number, multipleOf?: number }
  if ((minimum !== undefined && value < minimum) || (maximum !== undefined && value > maximum)) return problem(`must be from ${minimum} to ${maximum}${unit === 'count' ? '' : ` ${unit}`}, not ${value}`)
  if (multipleOf !== undefined && value % multipleOf !== 0) return problem(`must be a multiple of ${multipleOf}, not ${value}`)
  return value
}

const readText = (schema: SettingSchema, raw: string, problem: (message: string) => unknown): unknown => {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = schema as { minLength?: number, maxLength?: number, pattern?: string }
  if (raw.length < minLength) return problem('must not be empty')
  if (raw.length > maxLength) return problem(`must have at most ${maxLength} characters`)
  if (/[\0\r\n]/.test(raw)) return problem('must be a single line')
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(raw)) return problem(`must be ${schema.patternWords ?? `of the form ${pattern}`}`)
  return raw
}

/** A value of the right type in the place of one that is wrong. Only ever seen by checks that then hold their tongue. */
const placeholder = (schema: SettingSchema): unknown => {
  if (schema.default !== undefined && !KindGuard.IsObject(schema)) return structuredClone(schema.default as unknown)
  if (isOptional(schema)) return undefined
  if (KindGuard.IsObject(schema)) return Object.fromEntries(Object.entries(schema.properties).map(([name, property]) => [name, placeholder(property)]))
  if (KindGuard.IsArray(schema)) return []
  if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) return (schema as { minimum?: number }).minimum ?? 0
  return KindGuard.IsBoolean(schema) ? false : ''
}

/** What was found, without showing it: it may be a secret in the wrong place. */
const kindOf = (raw: unknown): string => {
  if (Array.isArray(raw)) return 'a list'
  if (typeof raw === 'object') return 'a group'
  if (typeof raw === 'string') return 'this text'
  return typeof raw === 'number' || typeof raw === 'boolean' ? String(raw) : typeof raw
}
