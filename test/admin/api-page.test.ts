/** The pages that show the APIs: whole, with nothing from elsewhere, and unable to act. */
import { request } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { apiPageRoutes } from '../../src/admin/api-page.js'
import { AdminHandler } from '../../src/admin/handler.js'
import { adminRoutes } from '../../src/admin/routes.js'
import { AdminServer } from '../../src/admin/server.js'
import { quietLog } from '../../src/kernel/log.js'
import { fakePort } from './fake-port.js'

const fake = fakePort()
const routes = adminRoutes({ port: fake.port, kmeId: 'kme-a', metrics: async () => ({ contentType: 'text/plain', body: '' }) })
const pages = apiPageRoutes({ version: '1.2.3', keyDocument: () => ({ openapi: '3.1.0' }) }, routes)

const world = async (t: Test) => {
  const dir = mkdtempSync(join(tmpdir(), 'qkme-page-')), socketPath = join(dir, 's')
  const server = await AdminServer.start({ handler: new AdminHandler({ routes: [...routes, ...pages], audit: fake.audit, log: quietLog }), log: quietLog, socketPath })
  t.teardown(() => { server.close(); rmSync(dir, { recursive: true, force: true }) })
  return (path: string) => new Promise<{ status: number, type: string, policy: string, text: string }>((resolve, reject) => {
    request({ socketPath, path, agent: false, headers: { host: 'localhost' } }, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => { text += part.toString('latin1') })
      response.on('end', () => { resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', policy: String(response.headers['content-security-policy']), text }) })
    }).on('error', reject).end()
  })
}

t.test('everything that a page names is served here, under its type', async t => {
  const get = await world(t)
  for (const path of ['/docs', '/docs/admin']) {
    const page = await get(path)
    t.equal(page.type, 'text/html; charset=utf-8')
    t.notMatch(page.text, /<script>|<style|javascript:|https?:|\son[a-z]+=/, 'nothing inline, nothing from elsewhere')
    for (const [, named = ''] of page.text.matchAll(/(?:src|href|data-document)="(\/[^"]*)"/g)) {
      const part = await get(named)
      t.equal(part.status, 200, named)
      t.match(part.type, named.endsWith('.js') ? 'text/javascript' : named.endsWith('.css') ? 'text/css' : named.endsWith('.json') ? 'application/json' : 'text/html')
      t.ok(part.text.length > 10)
    }
  }
  t.match((await get('/v1/status')).policy, /^default-src 'none'; frame-ancestors 'none'$/, 'all else may load nothing')
})

t.test('the script may speak to paths that look only, and no act lies at or under one', async t => {
  const get = await world(t)
  const { policy } = await get('/docs/admin')
  const allowed = /connect-src ([^;]*);/.exec(policy)?.[1]?.split(' ').map((source) => source.replace(/^localhost/, '')) ?? []
  t.ok(allowed.includes('/v1/status') && allowed.includes('/v1/devices/') && allowed.includes('/docs/admin.json'))
  const covers = (source: string, path: string): boolean => source === path || (source.endsWith('/') && path.startsWith(source))
  for (const { method, path } of routes) if (method !== 'GET') t.notOk(allowed.some((source) => covers(source, path)), `${method} ${path}`)
  t.notMatch(policy, /unsafe|\*|http|connect-src[^;]*'self'/)
  t.match((await get('/docs')).policy, /connect-src localhost\/docs\/openapi\.json;/, 'the page of the key API reads its document and nothing else')
})

t.test('the document of the operator API has every route with its parameters', async t => {
  const get = await world(t)
  const document = JSON.parse((await get('/docs/admin.json')).text) as { info: { version: string }, paths: Record<string, Record<string, { parameters: { name: string, in: string }[] }>> }
  t.equal(document.info.version, '1.2.3')
  for (const { method, path } of routes) {
    const operation = document.paths[path.replace(':id', '{id}')]?.[method.toLowerCase()]
    t.ok(operation, `${method} ${path}`)
    t.equal(operation?.parameters.filter((p) => p.in === 'path').length, path.includes(':') ? 1 : 0)
  }
  t.same(document.paths['/v1/saes']?.['get']?.parameters.map(({ name }) => name), ['after', 'limit'])
})
