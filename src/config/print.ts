import { KindGuard, type TSchema } from '@sinclair/typebox'
import { Document, isMap, isScalar, type Node } from 'yaml'
import type { Origin } from './load.js'
import { configSchema, type Config } from './schema.js'
import type { SettingPath, SettingSchema } from './settings.js'

/**
 * The configuration as it holds, as YAML, with where each setting comes from. Secrets are only ever named by file; of such a
 * file the place is printed and a note, never the contents.
 */
export const printConfig = (config: Config, origin: Origin): string => {
  const document = new Document(config)
  annotate(configSchema, document.contents as Node, [], origin)
  return document.toString({ lineWidth: 0 })
}

/** As plain data for `--json`: the same settings, and `origins` by setting name. */
export const configOrigins = (config: Config, origin: Origin): Record<string, string> => {
  const origins: Record<string, string> = {}
  const visit = (value: unknown, path: SettingPath, name: string): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [part, child] of Object.entries(value)) visit(child, [...path, part], name === '' ? part : `${name}.${part}`)
    } else origins[name] = origin(path)
  }
  visit(config, [], '')
  return origins
}

const annotate = (schema: TSchema, node: Node, path: SettingPath, origin: Origin): void => {
  if (!KindGuard.IsObject(schema) || !isMap(node)) return
  for (const pair of node.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : ''
    const property = schema.properties[name]
    const value = pair.value as Node | null
    if (property === undefined || value === null) continue
    if (KindGuard.IsObject(property)) annotate(property, value, [...path, name], origin)
    else value.comment = ` ${origin([...path, name])}${(property as SettingSchema).secret === true ? '; a secret: only its place is shown' : ''}`
  }
}
