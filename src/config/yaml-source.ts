import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml'
import type { ConfigFault } from './fault.js'
import type { SettingPath } from './settings.js'

/** A configuration file as plain values, able to say on which line a setting stands. */
export interface YamlSource {
  readonly raw: unknown
  readonly faults: readonly ConfigFault[]
  /** `kme-a.yaml:12` of the setting, or of the nearest group around it that is written. */
  placeOf (path: SettingPath): string
  /** Whether the setting itself is written in the file. */
  has (path: SettingPath): boolean
}

const fileBytesMax = 1_048_576

/** Reads and parses a file. What is wrong with it is told by `faults`; `raw` is then undefined. */
export const readYaml = (file: string): YamlSource => {
  const name = basename(file)
  const failed = (place: string, message: string): YamlSource =>
    ({ raw: undefined, faults: [{ place, setting: '', message }], placeOf: () => place, has: () => false })
  let text: string
  try {
    if (statSync(file).size > fileBytesMax) return failed(name, `is larger than ${fileBytesMax} bytes`)
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return failed(name, `configuration file ${file} cannot be read: ${(error as Error).message}`)
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, version: '1.2', schema: 'core', uniqueKeys: true, strict: true, prettyErrors: false })
  const placeAt = (offset: number | undefined): string => `${name}:${offset === undefined ? 1 : lines.linePos(offset).line}`
  if (document.errors.length > 0) {
    const faults = document.errors.map((error) => ({ place: placeAt(error.pos[0]), setting: '', message: error.message }))
    return { ...failed(name, ''), faults }
  }
  try {
    const raw: unknown = document.toJS({ maxAliasCount: 100 })
    return {
      raw: raw ?? {}, faults: [],
      placeOf: (path) => placeAt(locate(document, path).offset),
      has: (path) => locate(document, path).depth === path.length,
    }
  } catch (error) {
    return failed(name, (error as Error).message)
  }
}

/** Walks as far down the path as the document goes. */
const locate = (document: Document, path: SettingPath): { offset: number | undefined, depth: number } => {
  let node: Node | null | undefined = document.contents as Node | null
  let offset = node?.range?.[0]
  for (const [depth, part] of path.entries()) {
    const here: Node | null | undefined = isAlias(node) ? node.resolve(document) : node
    if (isMap(here)) {
      const pair = here.items.find((item) => isScalar(item.key) && item.key.value === part)
      if (pair === undefined) return { offset, depth }
      offset = (pair.key as Node).range?.[0]
      node = pair.value as Node | null
    } else if (isSeq(here) && typeof part === 'number' && here.items[part] !== undefined) {
      node = here.items[part] as Node
      offset = node.range?.[0]
    } else return { offset, depth }
  }
  return { offset, depth: path.length }
}
