import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox'
import { suffixesOf } from './quantity.js'
import { configSchema } from './schema.js'
import { isOptional, settingName, variableName, type SettingPath, type SettingSchema } from './settings.js'

const introduction = `# Configuration

<!-- Generated from src/config/schema.ts by \`npm run docs\`. Do not edit: a test fails when it is stale. -->

A KME reads one YAML file (\`qkme serve --config FILE\`) and the environment. A variable wins over the file, the
file over the default. Everything is checked before anything starts, and every fault is told at once, with the line or the
variable it stands in: \`qkme config check --config FILE\`. \`qkme config print\` shows what holds and where it comes from.

- Unknown settings are faults.
- Times and sizes (marked \\*) may carry a unit: \`30s\`, \`90 min\`, \`64KiB\`. Without one they are in the unit the name says.
- A list in a variable is JSON: \`QKME_SAES='[{"id":"sae-1"}]'\`.
- Secrets are named by file only. Such a file must be readable by its owner alone (mode 0600).
- A relative path in the file starts in the file's folder, one in a variable in the working folder; those marked *state* start in
  \`folders.state\`.
- \`QKME_CONFIG\` names the file when \`--config\` is not given.
- Two complete examples: [kme-a.yaml](../deploy/examples/kme-a.yaml), [kme-b.yaml](../deploy/examples/kme-b.yaml).
`

/** The whole reference in Markdown. */
export const configReference = (): string => `${[introduction, ...Object.entries(configSchema.properties).map(([name, schema]) => section(schema, [name]))].join('\n')}`

const section = (schema: TSchema, path: SettingPath): string => {
  const title = `## ${settingName(path)}\n\n${schema.description ?? ''}\n`
  const rows = rowsOf(schema, path, !KindGuard.IsArray(schema))
  const nested = KindGuard.IsArray(schema) ? '' : listsIn(schema as TObject, path)
  const own = KindGuard.IsArray(schema) ? `\nA list; as a variable \`${variableName(path)}\` (JSON). Each entry:\n` : ''
  return `${title}${own}\n${table(rows)}${nested}`
}

/** Tables of the lists of groups inside a section. */
const listsIn = (schema: TObject, path: SettingPath): string => Object.entries(schema.properties).map(([name, property]) => {
  const here = [...path, name]
  if (KindGuard.IsObject(property)) return listsIn(property, here)
  if (!KindGuard.IsArray(property) || !KindGuard.IsObject(property.items)) return ''
  return `\n### ${settingName(here)}\n\n${property.description ?? ''} Each entry:\n\n${table(rowsOf(property, here, false))}`
}).join('')

interface Row { readonly name: string, readonly type: string, readonly byDefault: string, readonly variable: string, readonly description: string }

/** Rows of a group, or of the entries of a list (which have no variables of their own). */
const rowsOf = (schema: TSchema, path: SettingPath, withVariables: boolean, prefix = settingName(path)): Row[] => {
  const inner = KindGuard.IsArray(schema) ? schema.items : schema
  if (!KindGuard.IsObject(inner)) return []
  return Object.entries(inner.properties).flatMap(([name, property]) => {
    const here = [...path, name]
    if (KindGuard.IsObject(property)) return rowsOf(property, here, withVariables, prefix)
    return [{
      name: settingName(here).slice(prefix.length + 1),
      type: typeOf(property), byDefault: defaultOf(property, isOptional(property)),
      variable: withVariables ? `\`${variableName(here)}\`` : '', description: property.description ?? '',
    }]
  })
}

const table = (rows: readonly Row[]): string => {
  const hasVariables = rows.some((row) => row.variable !== '')
  const cells = rows.map((row) => [`\`${row.name}\``, row.type, row.byDefault, ...hasVariables ? [row.variable] : [], row.description])
  const head = ['Setting', 'Type', 'Default', ...hasVariables ? ['Variable'] : [], 'Meaning']
  return [head, head.map(() => '---'), ...cells].map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('')
}

const typeOf = (schema: SettingSchema): string => {
  if (KindGuard.IsArray(schema)) return KindGuard.IsObject(schema.items) ? 'list of groups' : `list of ${typeOf(schema.items)}`
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map((option) => `\`${String((option as unknown as { const: unknown }).const)}\``).join(', ')
  if (KindGuard.IsBoolean(schema)) return '`true`, `false`'
  if (schema.isPath === true) return schema.words === undefined ? `path${schema.base === 'state' ? ' (*state*)' : ''}${schema.secret === true ? ' of a secret' : ''}` : `${schema.words.map((word) => `\`${word}\``).join(', ')} or a path`
  if (!KindGuard.IsInteger(schema) && !KindGuard.IsNumber(schema)) return 'text'
  const { minimum, maximum, multipleOf } = schema as { minimum?: number, maximum?: number, multipleOf?: number }
  const unit = schema.unit === undefined || schema.unit === 'count' ? '' : ` ${schema.unit}`
  return `${minimum} to ${maximum}${unit}${multipleOf === undefined ? '' : `, a multiple of ${multipleOf}`}${suffixesOf(schema.unit ?? 'count').length === 0 ? '' : ' \\*'}`
}

const defaultOf = (schema: SettingSchema, optional: boolean): string => {
  const value = schema.default as unknown
  if (value === undefined) return optional ? 'none' : '**required**'
  return `\`${typeof value === 'string' ? value === '' ? "''" : value : JSON.stringify(value)}\``
}
