import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { callOwners, contracts, importExceptions, layers, LINES_MAX, LINES_USUAL, longFunctions, packageOwners } from './architecture-rules.js'
import { cyclesOf, outline, scan, scanText, type Import, type Scanned } from './architecture-scan.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folders = ['src', 'machines', 'sim', 'bench'].filter((folder) => existsSync(`${root}${folder}`))
const files = scan(root, folders)
const tests = outline(root, 'test')

/** The row of the table that a file belongs to. */
const layerOf = (file: string): string | undefined => Object.keys(layers)
  .filter((layer) => file === layer || file.startsWith(`${layer}/`)).sort((a, b) => b.length - a.length)[0]

const mayImport = (file: string, one: Import): boolean => {
  const own = layerOf(file), other = layerOf(one.from)
  if (own === undefined || other === undefined || own === other) return true
  if (importExceptions[file]?.allows.includes(one.from) === true) return true
  const isOuter = own !== 'src/kernel' && own !== 'machines'
  if (one.typeOnly && isOuter && contracts.includes(one.from)) return true
  const layer = layers[own]
  return layer !== undefined && (layer.code.includes(other) || (one.typeOnly && layer.types.includes(other)))
}

const ownedBy = (file: string, owners: readonly string[]): boolean =>
  owners.some((owner) => owner.endsWith('/') ? file.startsWith(owner) : file === owner)

/** The command line and the entries of sim, bench are outside the table: they print and wait as they like to. */
const brokenCalls = (scanned: readonly Scanned[]): string[] => scanned.flatMap(({ file, uses }) => uses
  .filter(({ what }) => !ownedBy(file, Object.keys(callOwners[what] ?? {})))
  .map(({ what, line }) => `${file}:${line} uses ${what}`))

const brokenImports = (scanned: readonly Scanned[]): string[] => scanned.flatMap(({ file, imports }) => imports
  .filter((one) => !mayImport(file, one))
  .map((one) => `${file}:${one.line} imports ${one.typeOnly ? 'types of ' : ''}${one.from}`))

const brokenPackages = (scanned: readonly Scanned[]): string[] => scanned.flatMap(({ file, imports }) => imports
  .filter(({ from, typeOnly }) => !typeOnly && packageOwners[from] !== undefined && !ownedBy(file, packageOwners[from] ?? []))
  .map(({ from, line }) => `${file}:${line} loads ${from}`))

const inTable = files.filter(({ file }) => !file.startsWith('bench/'))

t.test('imports go one way', async t => { t.same(brokenImports(inTable), []) })

t.test('every source file is in the table', async t => {
  t.same(inTable.filter(({ file }) => layerOf(file) === undefined).map(({ file }) => file), [])
})

t.test('nobody imports the simulator but tests and itself', async t => {
  t.same(inTable.flatMap(({ file, imports }) => file.startsWith('sim/') ? [] : imports.filter((i) => i.from.startsWith('sim/')).map((i) => `${file}:${i.line}`)), [])
})

t.test('nobody imports tests', async t => {
  t.same(files.flatMap(({ file, imports }) => imports.filter((i) => i.from.startsWith('test/')).map((i) => `${file}:${i.line}`)), [])
})

t.test('packages are loaded by their owners', async t => { t.same(brokenPackages(inTable), []) })

t.test('clock, chance, environment and console belong to their owners', async t => { t.same(brokenCalls(inTable), []) })

t.test('no import cycles', async t => { t.same(cyclesOf(files).map((cycle) => cycle.join(' -> ')), []) })

t.test('no file is too long, no function either', async t => {
  const all = [...files, ...tests]
  t.same(all.filter(({ lines }) => lines > LINES_MAX).map(({ file, lines }) => `${file}:1 has ${lines} lines`), [])
  t.same(files.flatMap(({ file, longFunctions: long }) => long
    .filter(({ what }) => longFunctions[`${file}:${what}`] === undefined)
    .map(({ what, line, lines }) => `${file}:${line} ${what} has ${lines} lines`)), [])
  const warned = all.filter(({ lines }) => lines > LINES_USUAL && lines <= LINES_MAX)
  t.comment(`files above ${LINES_USUAL} lines: ${warned.map(({ file, lines }) => `${file} (${lines})`).join(', ') || 'none'}`)
})

t.test('no default exports, no barrels', async t => {
  t.same([...files, ...tests].flatMap(({ file, defaultExports }) => defaultExports.map((line) => `${file}:${line}`)), [])
  t.same([...files, ...tests].filter(({ file }) => basename(file) === 'index.ts').map(({ file }) => file), [])
})

t.test('no wildcard transitions in machines', async t => {
  t.same(files.filter(({ file }) => file.startsWith('machines/')).flatMap(({ file, wildcards }) => wildcards.map((line) => `${file}:${line}`)), [])
})

t.test('owner lists name files that exist', async t => {
  const named = [
    ...Object.values(callOwners).flatMap((owners) => Object.keys(owners)).filter((name) => !name.endsWith('/')), ...contracts, ...Object.keys(importExceptions),
    ...Object.keys(longFunctions).map((name) => name.split(':')[0] ?? ''),
  ]
  const known = new Set(files.map(({ file }) => file))
  t.same(named.filter((name) => !known.has(name)), [])
})

t.test('the rules see what they are made for', async t => {
  const probe = (file: string, text: string): Scanned => scanText(file, text)
  t.equal(brokenImports([probe('src/kernel/x.ts', "import { a } from '../store/y.js'")]).length, 1)
  t.equal(brokenImports([probe('machines/x.ts', "import type { A } from '../src/device/native.js'")]).length, 1)
  t.equal(brokenImports([probe('src/peer/x.ts', "import { type A } from '../../machines/peer.js'")]).length, 0)
  t.equal(brokenImports([probe('src/peer/x.ts', "import { a, type A } from '../../machines/peer.js'")]).length, 1)
  t.equal(brokenImports([probe('src/admin/x.ts', "export { a } from '../pool/pool.js'")]).length, 1)
  t.equal(brokenImports([probe('src/admin/x.ts', "await import('../pool/pool.js')")]).length, 1)
  t.equal(brokenPackages([probe('src/pool/x.ts', "import uWS from 'uWebSockets.js'")]).length, 1)
  for (const code of ['Date.now()', 'const f = Date.now', 'new Date()', 'Math.random()', 'setTimeout(f, 1)', 'globalThis.setTimeout(f, 1)', 'process.env.X', "process.env['X']", 'console.log(1)']) {
    t.equal(brokenCalls([probe('src/pool/x.ts', code)]).length, 1, code)
  }
  for (const code of ['new Date(5)', 'clock.now()', 'options.setTimeout(f, 1)', "'Date.now()'", '// setTimeout(f, 1)', 'const o = { setTimeout: f }']) {
    t.equal(brokenCalls([probe('src/pool/x.ts', code)]).length, 0, code)
  }
  t.same(cyclesOf([probe('src/a.ts', "import './b.js'"), probe('src/b.ts', "import './c.js'"), probe('src/c.ts', "import './b.js'")]), [['src/b.ts', 'src/c.ts', 'src/b.ts']])
  t.equal(probe('src/x.ts', `const f = () => {\n${'\n'.repeat(70)}}`).longFunctions.length, 1)
  t.equal(probe('src/x.ts', 'export default 1').defaultExports.length, 1)
  t.equal(probe('src/x.ts', 'export default function f () {}').defaultExports.length, 1)
})
