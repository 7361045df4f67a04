import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import { adminDocument, documentPath } from './api-document.js'
import type { Answer, Ask, Route } from './routes.js'

export interface ApiPageParts {
  readonly version: string
  /** The key API as an OpenAPI document, with the limits of this KME. */
  readonly keyDocument: () => unknown
}

const KEYS_JSON = '/docs/openapi.json'
const ADMIN_JSON = '/docs/admin.json'

/** Files of the library that draws the page, by the path they are served under. */
const assets = {
  '/docs/swagger-ui.css': { file: 'swagger-ui.css', contentType: 'text/css; charset=utf-8' },
  '/docs/swagger-ui.js': { file: 'swagger-ui-bundle.js', contentType: 'text/javascript; charset=utf-8' },
} as const

/** Starts the library: which document, and which of its views may be tried, stand in the page. Nothing is asked of any other server. */
const script = `'use strict'
const page = document.getElementById('page')
const views = JSON.parse(page.dataset.views)
const tries = () => ({
  statePlugins: { spec: { wrapSelectors: { allowTryItOutFor: () => (state, path, method) => method === 'get' && views.includes(path) } } },
})
SwaggerUIBundle({ domNode: page, url: page.dataset.document, validatorUrl: null, plugins: [tries], supportedSubmitMethods: ['get'], defaultModelsExpandDepth: 0 })
`

const html = (title: string, document: string, views: readonly string[]): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body class="swagger-ui">
<div class="wrapper"><p><a href="/docs">Key API</a> | <a href="/docs/admin">Operator API</a></p></div>
<div id="page" data-document="${document}" data-views='${JSON.stringify(views)}'></div>
<script src="/docs/swagger-ui.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
`

/** Paths that look and never act, whatever the method: all that the page's script may ever ask for. */
const harmless = (routes: readonly Route[]): readonly string[] => {
  const acts = routes.filter(({ method }) => method !== 'GET').map(({ path }) => path)
  const prefix = (path: string): string => path.split(':', 1)[0] ?? path
  return routes.filter(({ method, path }) => method === 'GET' && !acts.some((act) => act === path || (path !== prefix(path) && act.startsWith(prefix(path))))).map(({ path }) => path)
}

/**
 * What the page may load, as a Content-Security-Policy. Its script comes from a library, and it runs with the rights of the
 * operator who looks. So it may speak to paths that only look, each named, and to nothing else: should the library ever
 * turn bad, it could change nothing and send nothing away.
 *
 * @param host  The request's Host header, which the guard has checked. In a policy, paths need a host.
 * @see Content Security Policy Level 3, clauses 2.3.1 (source lists) and 6.7.2.8 (paths)
 */
const policy = (host: string, paths: readonly string[]): string =>
  `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ${paths.map((path) => `${host}${path.split(':', 1)[0]}`).join(' ')}; `
  + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Read at its first use and kept. */
const kept = (make: () => Buffer): () => Buffer => {
  let bytes: Buffer | undefined
  return () => bytes ??= make()
}

const readAsset = (file: string): Buffer => {
  try {
    return readFileSync(join(dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json')), file))
  } catch (cause) {
    throw new KmeError('INTERNAL', `${file} of the package swagger-ui-dist cannot be read: install the dependencies again`, { cause })
  }
}

const plain = (contentType: string, text: string | Buffer): Answer => ({ status: 200, plain: { contentType, text } })

/**
 * Routes of the interactive pages: `/docs` shows the key API, `/docs/admin` the operator API, whose views can be tried there.
 * Served from the installed library; nothing is loaded from elsewhere.
 *
 * @param routes  The operator API, to be shown.
 * @throws KmeError `INTERNAL` from a route if the library is not installed.
 */
export const apiPageRoutes = (parts: ApiPageParts, routes: readonly Route[]): readonly Route[] => {
  const views = harmless(routes)
  const page = (path: string, does: string, title: string, document: string, tried: readonly string[]): Route => ({
    method: 'GET', path, role: 'view', does,
    run: ({ host }: Ask) => ({
      ...plain('text/html; charset=utf-8', html(title, document, tried.map(documentPath))),
      headers: { 'content-security-policy': policy(host, [document, ...tried]) },
    }),
  })
  const file = (path: string, does: string, run: Route['run']): Route => ({ method: 'GET', path, role: 'view', does, run })
  return [
    page('/docs', 'a page: the key API', 'qkme key API', KEYS_JSON, []),
    page('/docs/admin', 'a page: the operator API, to look at and to try views', 'qkme operator API', ADMIN_JSON, views),
    file(KEYS_JSON, 'the key API as OpenAPI, with the limits of this KME', () => ({ status: 200, json: parts.keyDocument() })),
    file(ADMIN_JSON, 'the operator API as OpenAPI', () => ({ status: 200, json: adminDocument(parts.version, routes) })),
    file('/docs/page.js', 'part of the pages', () => plain('text/javascript; charset=utf-8', script)),
    ...Object.entries(assets).map(([path, asset]) => {
      const read = kept(() => readAsset(asset.file))
      return file(path, 'part of the pages', () => plain(asset.contentType, read()))
    }),
  ]
}
