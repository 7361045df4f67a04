import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { apiPageRoutes } from '../../src/admin/api-page.js'
import { adminRoutes } from '../../src/admin/routes.js'
import { fakePort } from './fake-port.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const doc = (name: string): string => readFileSync(join(root, 'docs', name), 'utf8')
const sources = ['src', 'machines'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  .filter((e) => e.isFile() && e.name.endsWith('.ts')).map((e) => readFileSync(join(e.parentPath, e.name), 'utf8')))

const found = (pattern: RegExp): string[] => [...new Set(sources.flatMap((text) => [...text.matchAll(pattern)].map((m) => m[1] ?? '')))].sort()

t.test('every metric is in docs/metrics.md, and every one there is in the code', async t => {
  const inCode = found(/\b(?:register|histogram)\('(qkme_[a-z0-9_]+)'/g)
  const inDoc = [...doc('metrics.md').matchAll(/^\| `(qkme_[a-z0-9_]+)`/gm)].map((m) => m[1] ?? '').sort()
  t.same(inCode.filter((name) => !inDoc.includes(name)), [], 'not in the page')
  t.same(inDoc.filter((name) => !inCode.includes(name)), [], 'not in the code')
})

t.test('every alert and every route is in docs/admin.md', async t => {
  const page = doc('admin.md')
  t.same(found(/alertBegins\('([a-z.A-Z]+)'/g).filter((alert) => !page.includes(`\`${alert}\``)), [])
  const routes = adminRoutes({ port: fakePort().port, kmeId: 'a', metrics: async () => ({ contentType: '', body: '' }) })
  const pages = apiPageRoutes({ version: '0', keyDocument: () => ({}) }, routes).filter(({ does }) => does !== 'part of the pages')
  t.same([...routes, ...pages].filter(({ path }) => !page.includes(path.replace(':id', 'ID'))).map(({ method, path }) => `${method} ${path}`), [])
})

t.test('every security event is in docs/logging.md, and every one there is in the code', async t => {
  const page = doc('logging.md')
  const inDoc = [...page.slice(page.indexOf('| Event |')).matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => [...(cell ?? '').matchAll(/`([a-zA-Z.]+)`/g)].map((m) => m[1] ?? ''))
  const inCode = [/\bevent: '([a-zA-Z]+\.[a-zA-Z]+)'/g, /\bsecurity\('([a-zA-Z]+\.[a-zA-Z]+)'/g, /\balarm\('([a-zA-Z]+\.[a-zA-Z]+)'/g, /^  '([a-zA-Z]+\.[a-zA-Z]+)': \{ category: /gm].flatMap(found)
  t.ok(inCode.length > 30, `${inCode.length} events`)
  t.same(inCode.filter((event) => !inDoc.includes(event)), [], 'not in the page')
  // Of these the last word varies.
  t.same(inDoc.filter((event) => !inCode.includes(event) && !event.startsWith('incident.')), [], 'not in the code')
})

t.test('every RFC that the code names is in docs/rfc.md, and every file named there exists', async (t) => {
  const page = doc('rfc.md'), native = readdirSync(join(root, 'native'), { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && /\.(cc|h)$/.test(e.name)).map((e) => readFileSync(join(e.parentPath, e.name), 'utf8'))
  const inCode = [...new Set([...sources, ...native].flatMap((text) => [...text.matchAll(/\bRFC (\d{4})\b/g)].map((m) => m[1] ?? '')))].sort()
  const inPage = [...page.matchAll(/^\| (\d{4}) /gm)].map((m) => m[1] ?? '')
  t.same(inPage, inCode)
  t.same([...page.matchAll(/`((?:src|test|native)\/[^`]+\.(?:ts|h|cc))`/g)].map((m) => m[1] ?? '').filter((file) => !existsSync(join(root, file))), [])
})
