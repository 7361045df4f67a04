import { Type, type TProperties, type TSchema } from '@sinclair/typebox'

/** Units of numbers. Times and sizes may be written with a unit (`30s`, `64KiB`); without one they are in this unit. */
export type Unit = 'ms' | 's' | 'days' | 'bytes' | 'bits' | 'keys' | 'count' | 'fraction' | 'per second'

interface NumberOptions { readonly minimum: number, readonly maximum: number, readonly default?: number, readonly unit?: Unit }

const entityPattern = '^[A-Za-z0-9\\-._~:/?#\\[\\]@!$&\'()*+,;=%]{1,64}$'

/** An integer with bounds, a unit and, unless it is required, a default. */
export const integer = (description: string, { unit = 'count', ...bounds }: NumberOptions) =>
  Type.Integer({ description, unit, ...bounds })

export const fraction = (description: string, options: Omit<NumberOptions, 'unit'>) =>
  Type.Number({ description, unit: 'fraction', ...options })

export const flag = (description: string, byDefault: boolean) => Type.Boolean({ description, default: byDefault })

export const text = (description: string, options: { default?: string, pattern?: string, patternWords?: string, minLength?: number, maxLength?: number } = {}) =>
  Type.String({ description, minLength: 1, maxLength: 4096, ...options })

/**
 * A file or folder. A relative one starts in the state folder (`base: 'state'`), else in the configuration file's folder, or in
 * the working folder when it comes from a variable. `secret`: its contents are a secret; they are never read for printing,
 * and the file must belong to its owner alone. `words` are no paths.
 */
export const path = (description: string, options: { default?: string, base?: 'state', secret?: boolean, words?: readonly string[] } = {}) =>
  Type.String({ description, minLength: 1, maxLength: 4096, isPath: true, ...options })

/** An SAE, KME or operator ID. */
export const entity = (description: string) =>
  Type.String({ description, pattern: entityPattern, patternWords: '1 to 64 characters allowed in a URI (RFC 3986)' })

export const choice = <T extends string>(description: string, values: readonly T[], options: { default?: T } = {}) =>
  Type.Union(values.map((value) => Type.Literal(value)), { description, ...options })

/** SHA-256 of a certificate's DER, as `qkme pki inspect` prints it. */
export const fingerprint = (description: string) =>
  Type.String({ description, pattern: '^([0-9A-F]{2}:){31}[0-9A-F]{2}$', patternWords: '32 pairs of upper-case hex digits joined by colons (qkme pki inspect prints it)' })

export const list = <T extends TSchema>(description: string, items: T, options: { maxItems?: number } = {}) =>
  Type.Array(items, { description, default: [], maxItems: 10_000, ...options })

/** A group of settings; unknown names in it are faults. A group without required settings may be left out. */
export const group = <T extends TProperties>(description: string, properties: T) =>
  Type.Object(properties, { description, additionalProperties: false, default: {} })

/** A group that is off unless it is written. */
export const optionalGroup = <T extends TProperties>(description: string, properties: T) =>
  Type.Optional(Type.Object(properties, { description, additionalProperties: false }))
