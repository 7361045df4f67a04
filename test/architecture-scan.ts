import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'
import { FUNCTION_LINES_MAX } from './architecture-rules.js'

export interface Import { readonly from: string, readonly typeOnly: boolean, readonly line: number }
export interface Spot { readonly what: string, readonly line: number }

/** What the rules look at in one file. Paths are relative to the project's root, with slashes. */
export interface Scanned {
  readonly file: string
  readonly lines: number
  readonly imports: readonly Import[]
  /** Uses of banned names. */
  readonly uses: readonly Spot[]
  readonly longFunctions: readonly (Spot & { readonly lines: number })[]
  readonly defaultExports: readonly number[]
  readonly wildcards: readonly number[]
}

const timers = new Set(['setTimeout', 'setInterval', 'setImmediate'])
const members = new Set(['Date.now', 'performance.now', 'Math.random', 'process.env'])

const isTypeOnly = (node: ts.ImportDeclaration): boolean => {
  const clause = node.importClause
  if (clause === undefined) return false // For its effects.
  if (clause.isTypeOnly) return true
  const named = clause.namedBindings
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named) && named.elements.length > 0 && named.elements.every((e) => e.isTypeOnly)
}

const nameOf = (node: ts.Node): string => {
  const named = node as { name?: ts.Node }
  if (named.name !== undefined && ts.isIdentifier(named.name)) return named.name.text
  const parent = node.parent
  return ts.isVariableDeclaration(parent) && ts.isIdentifier(parent.name) ? parent.name.text : '(anonymous)'
}

/** A callback given to setup(), createMachine() or test() is part of what calls it. */
const isNamed = (node: ts.Node): boolean => ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node) || ts.isConstructorDeclaration(node) ||
  ((ts.isArrowFunction(node) || ts.isFunctionExpression(node)) && ts.isVariableDeclaration(node.parent))

/** `Date.now` as a method of a clock's own is not the global: only a bare name counts. */
const bannedName = (node: ts.Node): string | undefined => {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const text = `${node.expression.text}.${node.name.text}`
    if (members.has(text)) return text
    if (node.expression.text === 'console') return 'console'
    if (node.expression.text === 'globalThis' && timers.has(node.name.text)) return node.name.text
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && timers.has(node.expression.text)) return node.expression.text
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'Date' && (node.arguments?.length ?? 0) === 0) return 'new Date()'
  return undefined
}

const importOf = (node: ts.Node): { text: string, typeOnly: boolean } | undefined => {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) return { text: node.moduleSpecifier.text, typeOnly: isTypeOnly(node) }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) return { text: node.moduleSpecifier.text, typeOnly: node.isTypeOnly }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0] !== undefined && ts.isStringLiteral(node.arguments[0])) {
    return { text: node.arguments[0].text, typeOnly: false }
  }
  return undefined
}

const isDefault = (node: ts.Node): boolean => ts.isExportAssignment(node) ||
  (ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some((m) => m.kind === ts.SyntaxKind.DefaultKeyword))

export const scanText = (file: string, text: string): Scanned => {
  const source = ts.createSourceFile(file, text, { languageVersion: ts.ScriptTarget.ES2023, jsDocParsingMode: ts.JSDocParsingMode.ParseNone }, true)
  const lineOf = (at: number): number => source.getLineAndCharacterOfPosition(at).line + 1
  const startOf = (node: ts.Node): number => lineOf(node.getStart(source)) // Not for every node: it reads the text again.
  const found = { imports: [] as Import[], uses: [] as Spot[], longFunctions: [] as (Spot & { lines: number })[], defaultExports: [] as number[], wildcards: [] as number[] }
  const visit = (node: ts.Node): void => {
    const imported = importOf(node)
    if (imported !== undefined) {
      const { text: spec, typeOnly } = imported
      const from = spec.startsWith('.') ? normalize(join(dirname(file), spec)).replace(/\.js$/, '.ts') : spec
      found.imports.push({ from, typeOnly, line: startOf(node) })
    }
    const name = bannedName(node)
    if (name !== undefined) found.uses.push({ what: name, line: startOf(node) })
    if (isNamed(node)) {
      const line = startOf(node), lines = lineOf(node.getEnd()) - line + 1
      if (lines > FUNCTION_LINES_MAX) found.longFunctions.push({ what: nameOf(node), line, lines })
    }
    if (isDefault(node)) found.defaultExports.push(startOf(node))
    // `on: { '*': … }` in a machine swallows a child's failure.
    if (ts.isPropertyAssignment(node) && ts.isStringLiteral(node.name) && node.name.text === '*') found.wildcards.push(startOf(node))
    ts.forEachChild(node, visit)
  }
  visit(source)
  return { file, lines: text.split('\n').length - 1, ...found }
}

const filesUnder = (root: string, folder: string): string[] => readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replace(/^\//, ''))

export interface Outline { readonly file: string, readonly lines: number, readonly defaultExports: readonly number[] }

/** Length and default exports only, without parsing: for tests. */
export const outline = (root: string, folder: string): Outline[] => filesUnder(root, folder).sort().map((file) => {
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  return { file, lines: lines.length - 1, defaultExports: lines.flatMap((line, i) => line.startsWith('export default') ? [i + 1] : []) }
})

/** Every TypeScript file of these folders. */
export const scan = (root: string, folders: readonly string[]): Scanned[] =>
  folders.flatMap((folder) => filesUnder(root, folder)).sort().map((file) => scanText(file, readFileSync(join(root, file), 'utf8')))

/** Cycles of imports that exist at run time, each told once, as the files in their order. */
export const cyclesOf = (files: readonly Scanned[]): string[][] => {
  const edges = new Map(files.map((f) => [f.file, f.imports.filter((i) => !i.typeOnly).map((i) => i.from)]))
  const cycles: string[][] = []
  const done = new Set<string>()
  const walk = (file: string, path: string[]): void => {
    const at = path.indexOf(file)
    if (at !== -1) { cycles.push([...path.slice(at), file]); return }
    if (done.has(file)) return
    for (const next of edges.get(file) ?? []) if (edges.has(next)) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of edges.keys()) walk(file, [])
  return cycles
}
