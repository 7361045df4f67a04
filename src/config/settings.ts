import { KindGuard, OptionalKind, type TObject, type TSchema } from '@sinclair/typebox'
import type { Unit } from './setting.js'

/** Names and list positions from the root, e.g. ['links', 0, 'ring', 'path']. */
export type SettingPath = readonly (string | number)[]

/** What the schema helpers in setting.ts attach. */
export interface SettingSchema extends TSchema {
  readonly unit?: Unit
  readonly isPath?: boolean
  readonly base?: 'state'
  readonly secret?: boolean
  readonly words?: readonly string[]
  readonly patternWords?: string
}

export interface Setting { readonly path: SettingPath, readonly schema: SettingSchema, readonly variable: string }

export const isOptional = (schema: TSchema): boolean => OptionalKind in schema

/** `links[0].ring.path` */
export const settingName = (path: SettingPath): string =>
  path.map((part, index) => typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`).join('')

/** `QKME_POOLS_KEY_SIZE_BITS` */
export const variableName = (path: SettingPath): string =>
  `QKME_${path.map((part) => String(part).replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`

/** Every setting that has a variable of its own: scalars, and lists as a whole (JSON). Groups are walked through. */
export const settingsOf = (schema: TObject, path: SettingPath = []): Setting[] =>
  Object.entries(schema.properties).flatMap(([name, property]) => KindGuard.IsObject(property)
    ? settingsOf(property, [...path, name])
    : [{ path: [...path, name], schema: property, variable: variableName([...path, name]) }])
