/** What the pages say that can be looked up: links, files, commands with their options, settings, scripts. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import type { Command } from 'commander'
import t, { type Test } from 'tap'
import { buildProgram } from '../../src/cli/program.js'
import { configSchema } from '../../src/config/schema.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { projectFolder } from '../config/examples.js'

interface Page { readonly name: string, readonly text: string }
const pages: Page[] = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...readdirSync(join(projectFolder, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]
  .map((name) => ({ name, text: readFileSync(join(projectFolder, name), 'utf8') }))

const withoutBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '')
const blocks = (text: string): string[] => [...text.matchAll(/^```[^\n]*\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
/** Inline code, and the lines of blocks. */
const codeOf = ({ text }: Page): string[] => [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code).concat(blocks(text).flatMap((block) => block.replace(/\\\n\s*/g, '').split('\n')))
/** A page on which everything that is named is missing. */
const wrong: Page = { name: 'README.md', text: '[a](nowhere.md) [b](LICENSE#none) `docs/nowhere.md` `npm run nothing` `qkme nothing` `qkme sae nothing` `qkme status --nothing` `pools.nothing`' }

/** What `fault` says of the pieces of every page: nothing, of at least so many. Of the wrong page it finds all that it should. */
const look = (t: Test, least: number, wrongs: number, pieces: (page: Page) => readonly string[], fault: (piece: string, page: Page) => string | undefined): void => {
  const of = (some: readonly Page[]): string[] => some.flatMap((page) => pieces(page).flatMap((piece) => { const said = fault(piece, page); return said === undefined ? [] : [`${page.name}: ${said}`] }))
  t.same(of(pages), [])
  t.equal(of([wrong]).length, wrongs, 'a wrong one is seen')
  const count = pages.flatMap(pieces).length
  t.ok(count >= least, `${count} looked at`)
}

/** As GitHub names the headings of a page. */
const anchorsOf = (text: string): string[] => [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replace(/ /g, '-'))

t.test('links lead to files and headings that are there', async t => {
  const linksOf = ({ text }: Page): string[] => [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link))
  look(t, 100, 2, linksOf, (link, page) => {
    const [file = '', anchor] = link.split('#'), path = file === '' ? page.name : join(dirname(page.name), file), there = join(projectFolder, path)
    if (!existsSync(there)) return `${link}: there is no such file`
    return anchor === undefined || anchorsOf(readFileSync(there, 'utf8')).includes(anchor) ? undefined : `${link}: there is no such heading`
  })
})

t.test('files of this repository that are named are there', async t => {
  const roots = readdirSync(projectFolder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).filter((name) => !['dist', 'build', 'node_modules'].includes(name) && !name.startsWith('.'))
  const paths = (page: Page): string[] => [...withoutBlocks(page.text).matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map(([, path = '']) => path).filter((path) => roots.includes(path.split('/')[0]!))
  const endings = ['', '.ts', '.test.ts', '.cc', '.h']
  look(t, 200, 1, paths, (path) => endings.some((ending) => existsSync(join(projectFolder, path + ending))) ? undefined : path)
})

t.test('the file that is linked as the command can be run (`npm run build` sees to it)', async t => {
  t.equal(statSync(join(projectFolder, 'dist/src/cli/qkme.js')).mode & 0o111, 0o111)
})

t.test('scripts of npm that are named are in package.json', async t => {
  const { scripts } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  const named = (page: Page): string[] => codeOf(page).flatMap((code) => [...code.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)].map(([, run, short]) => run ?? short!))
  look(t, 30, 1, named, (name) => name in scripts ? undefined : `npm run ${name}`)
})

/** Words of a shell line up to what ends the command. */
const wordsOf = (line: string): string[] => (line.split(/ #|[;|)&<>]/)[0]!.match(/'[^']*'|"[^"]*"|\S+/g) ?? [])

/** No commands: what is signed and hashed begins so (docs/relay-protocol.md). */
const labels = ['link state 1', 'tunnel move 1']

t.test('commands of qkme that are named are there, with their options', async t => {
  const program = await buildProgram([], {
    clock: systemClock, random: systemRandom, streams: { out: () => {}, err: () => {} }, variables: {}, workingFolder: projectFolder, version: '0', exit: { code: 0 },
  })
  const lines = (page: Page): string[] => codeOf(page).flatMap((code) => [...code.matchAll(/(?:^\s*|[|(=] ?|npx |&& )(?:qkme|node dist\/src\/cli\/qkme\.js) ((?:[a-z-]).*)/g)].map(([, line = '']) => line)).filter((line) => !labels.includes(line))
  look(t, 80, 3, lines, (line) => {
    const words = wordsOf(line)
    let command: Command = program
    for (;;) {
      const next = command.commands.find((one) => one.name() === words[0])
      if (next === undefined) break
      command = next
      words.shift()
    }
    if (command.commands.length > 0 && words[0] !== undefined && !words[0].startsWith('-')) return `qkme ${line}: there is no command ${words[0]}`
    const known = [program, command].flatMap((one) => one.options.flatMap(({ long, short }) => [long, short])).concat('--help')
    const unknown = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split('=')[0]!).find((option) => !known.includes(option))
    return unknown === undefined ? undefined : `qkme ${line}: there is no ${unknown}`
  })
})

const hasSetting = (schema: TSchema, path: readonly string[]): boolean => {
  const [name, ...rest] = path
  if (name === undefined) return true
  if (KindGuard.IsArray(schema)) return hasSetting(schema.items, path)
  return KindGuard.IsObject(schema) && schema.properties[name] !== undefined && hasSetting(schema.properties[name], rest)
}

t.test('settings that are named are in the schema', async t => {
  // Alerts, parts and security events look like settings: those that the pages list as such are left out.
  const listed = new Set(pages.filter(({ name }) => ['docs/admin.md', 'docs/logging.md'].includes(name)).flatMap(({ text }) => [...text.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([a-zA-Z.]+)`/g)].map(([, name = '']) => name))))
  const sections = Object.keys(configSchema.properties)
  const named = (page: Page): string[] => [...withoutBlocks(page.text).matchAll(/`([a-z][\w]*(?:\.[\w]+)+)(?:: [^`]*)?`/g)].map(([, name = '']) => name)
    .filter((name) => sections.includes(name.split('.')[0]!) && !listed.has(name) && !/\.(ts|mjs|cc|h|yaml|json|md|sock)$/.test(name))
  look(t, 80, 1, named, (name) => hasSetting(configSchema, name.split('.')) ? undefined : name)
})
