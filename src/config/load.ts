import { dirname, isAbsolute, resolve } from 'node:path'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import { KmeError } from '../kernel/errors.js'
import { Faults, type ConfigFault } from './fault.js'
import { checkFiles } from './file-rules.js'
import { readValue } from './read-value.js'
import { checkRules } from './rules.js'
import { configSchema, type Config } from './schema.js'
import { settingsOf, type SettingPath, type SettingSchema } from './settings.js'
import { suggest } from './suggest.js'
import { readYaml, type YamlSource } from './yaml-source.js'

export interface ConfigInput {
  /** YAML file; without it everything comes from variables and defaults. */
  readonly file?: string
  /** Environment variables; only those named QKME_… count. */
  readonly variables: Readonly<Record<string, string>>
  /** Folder that relative paths in variables start from. */
  readonly workingFolder: string
  /** false: do not look whether files exist (before `pki init` and `store create-key`). Default true. */
  readonly checkFiles?: boolean
}

/** Where the value of a setting comes from. */
export type Origin = (path: SettingPath) => string

export type ConfigResult =
  | { readonly ok: true, readonly config: Config, readonly origin: Origin }
  | { readonly ok: false, readonly faults: readonly ConfigFault[] }

/** Variables that are no settings: the file to read. */
const reserved: ReadonlySet<string> = new Set(['QKME_CONFIG'])

const settings = settingsOf(configSchema)

/** Reads, checks and completes the configuration. Never throws for what is wrong in it: it tells every fault at once. */
export const readConfig = (input: ConfigInput): ConfigResult => {
  const yaml = input.file === undefined ? undefined : readYaml(input.file)
  if (yaml !== undefined && yaml.faults.length > 0) return { ok: false, faults: yaml.faults }
  const fromVariables = new Map<string, string>() // setting path (joined) -> variable
  const faults = new Faults((path) => placeOf(path, yaml, fromVariables))
  const raw = overlayVariables(yaml?.raw ?? {}, input.variables, fromVariables, faults)
  const config = readValue(configSchema, raw, [], faults) as Config
  resolvePaths(config, input, fromVariables)
  checkRules(config, faults)
  if (input.checkFiles !== false) checkFiles(config, faults)
  const found = faults.list()
  return found.length > 0 ? { ok: false, faults: found } : { ok: true, config: deepFreeze(config), origin: (path) => originOf(path, yaml, fromVariables) }
}

/**
 * As `readConfig`, for starting.
 *
 * @throws KmeError `CONFIG_INVALID`, whose message lists every fault with its place, one per line.
 */
export const loadConfig = (input: ConfigInput): Config => {
  const result = readConfig(input)
  if (!result.ok) throw new KmeError('CONFIG_INVALID', faultsText(result.faults))
  return result.config
}

export const faultsText = (faults: readonly ConfigFault[]): string => [
  `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:`,
  ...faults.map((fault) => `  ${fault.place}: ${fault.setting === '' ? '' : `${fault.setting} `}${fault.message}`),
].join('\n')

const key = (path: SettingPath): string => path.join('\0')

/** For printing: as `placeOf`, but what nobody wrote is a default. */
const originOf = (path: SettingPath, yaml: YamlSource | undefined, fromVariables: ReadonlyMap<string, string>): string => {
  const fromVariable = path.some((_, depth) => fromVariables.has(key(path.slice(0, depth + 1))))
  return fromVariable || yaml?.has(path) === true ? placeOf(path, yaml, fromVariables) : 'default'
}

const placeOf = (path: SettingPath, yaml: YamlSource | undefined, fromVariables: ReadonlyMap<string, string>): string => {
  for (let depth = path.length; depth > 0; depth--) {
    const variable = fromVariables.get(key(path.slice(0, depth)))
    if (variable !== undefined) return variable
  }
  return yaml?.placeOf(path) ?? '(environment)'
}

/** Lays the variables over the file's values: a list as a whole, a scalar by itself. */
const overlayVariables = (raw: unknown, variables: ConfigInput['variables'], fromVariables: Map<string, string>, faults: Faults): unknown => {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return raw
  const result = structuredClone(raw) as Record<string, unknown>
  for (const [name, value] of Object.entries(variables)) {
    if (!name.startsWith('QKME_') || reserved.has(name)) continue
    const setting = settings.find((one) => one.variable === name)
    if (setting === undefined) {
      const near = suggest(name, settings.map((one) => one.variable))
      faults.addLoose(name, `is not the variable of a setting${near === undefined ? '' : `; did you mean ${near}?`}`)
      continue
    }
    fromVariables.set(key(setting.path), name)
    const parsed = parseVariable(setting.schema, value)
    if (parsed.ok) put(result, setting.path, parsed.value)
    else faults.add(setting.path, parsed.message, name)
  }
  return result
}

type Parsed = { readonly ok: true, readonly value: unknown } | { readonly ok: false, readonly message: string }

const parseVariable = (schema: SettingSchema, text: string): Parsed => {
  if (KindGuard.IsBoolean(schema)) return text === 'true' || text === 'false' ? { ok: true, value: text === 'true' } : { ok: false, message: 'must be true or false' }
  if (!KindGuard.IsArray(schema)) return { ok: true, value: text }
  try {
    return { ok: true, value: JSON.parse(text) as unknown }
  } catch {
    return { ok: false, message: 'must be a list in JSON, like [] or ["a","b"]' } // The parser's words would quote the value.
  }
}

const put = (target: Record<string, unknown>, path: SettingPath, value: unknown): void => {
  let group = target
  for (const part of path.slice(0, -1)) {
    const next = group[part]
    if (next === undefined || next === null) group[part] = {}
    else if (typeof next !== 'object' || Array.isArray(next)) return // A fault of the file, told by readValue.
    group = group[part] as Record<string, unknown>
  }
  group[path.at(-1) as string] = value
}

/** Makes every path absolute, in place, before anybody sees the configuration. */
const resolvePaths = (config: Config, input: ConfigInput, fromVariables: ReadonlyMap<string, string>): void => {
  const fileFolder = input.file === undefined ? input.workingFolder : dirname(resolve(input.workingFolder, input.file))
  const isFromVariable = (path: SettingPath): boolean => path.some((_, depth) => fromVariables.has(key(path.slice(0, depth + 1))))
  const visit = (schema: TSchema, value: unknown, path: SettingPath, stateFolder: string): unknown => {
    const setting = schema as SettingSchema
    if (typeof value === 'string' && setting.isPath === true) {
      if (value === '' || isAbsolute(value) || setting.words?.includes(value) === true) return value
      return resolve(setting.base === 'state' ? stateFolder : isFromVariable(path) ? input.workingFolder : fileFolder, value)
    }
    if (Array.isArray(value) && KindGuard.IsArray(schema)) return value.map((item, index) => visit(schema.items, item, [...path, index], stateFolder))
    if (KindGuard.IsObject(schema) && typeof value === 'object' && value !== null) {
      const group = value as Record<string, unknown>
      for (const [name, property] of Object.entries(schema.properties)) {
        if (group[name] !== undefined) group[name] = visit(property, group[name], [...path, name], stateFolder)
      }
    }
    return value
  }
  visit(configSchema.properties.folders, config.folders, ['folders'], '')
  visit(configSchema, config, [], config.folders.state)
}

const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}

