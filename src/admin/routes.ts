import { KmeError } from '../kernel/errors.js'
import { entityId } from '../kernel/ids.js'
import { isLogLevel, type LogLevel } from '../kernel/log.js'
import { onlyMembers, textMember, type Body } from './body.js'
import { incidentRoutes } from './incident-routes.js'
import type { AdminPort, ReleaseView, Role } from './port.js'

/** A request whose caller, method, path and form were checked. */
export interface Ask { readonly params: Readonly<Record<string, string>>, readonly query: URLSearchParams, readonly body: Body, /** The Host header, checked. */ readonly host: string }

/** What is not JSON, such as metrics. */
export interface PlainText { readonly contentType: string, readonly text: string | Buffer }

export interface Answer {
  readonly status: number
  readonly json?: unknown
  readonly plain?: PlainText
  /** Lower case; they replace the usual ones of the same name. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** `:name` stands for one segment. */
  readonly path: string
  readonly role: Role
  /** What `run` does, for the page of routes. */
  readonly does: string
  /** Members of the query, with what they mean. */
  readonly query?: Readonly<Record<string, string>>
  readonly run: (ask: Ask) => Answer | Promise<Answer>
}

export interface RouteParts {
  readonly port: AdminPort
  readonly kmeId: string
  readonly metrics: () => Promise<{ readonly contentType: string, readonly body: string }>
}

const PAGE_MAX = 10_000
const PAGE_USUAL = 1_000

const ok = (json: unknown): Answer => ({ status: 200, json })
/** An act that has nothing to show but that it was done. */
const done: Answer = { status: 200, json: { done: true } }

const pageOf = (query: URLSearchParams): { after: string | undefined, limit: number } => {
  const after = query.get('after')
  const limit = Number(query.get('limit') ?? PAGE_USUAL)
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) throw new KmeError('BAD_REQUEST', `limit must be a whole number from 1 to ${PAGE_MAX}`)
  return { after: after === null ? undefined : entityId(after, 'after'), limit }
}

const idOf = ({ params }: Ask): string => {
  const id = params['id'] ?? ''
  if (id.length < 1 || id.length > 128) throw new KmeError('BAD_REQUEST', 'the ID in the path must have 1 to 128 characters')
  return id
}

/** An act on one thing, named in the path, with an empty body. */
const act = (perform: (id: string) => Promise<void | ReleaseView>) => async (ask: Ask): Promise<Answer> => {
  onlyMembers(ask.body, [])
  const view = await perform(idOf(ask))
  return view === undefined ? done : ok(view)
}

const levelsOf = (body: Body): Record<string, LogLevel> => Object.fromEntries(Object.entries(body).map(([component, level]) => {
  if (!/^(\*|[a-z][a-z0-9-]{0,31})$/.test(component)) throw new KmeError('BAD_REQUEST', 'a component is * or lower case letters, digits and hyphens')
  if (!isLogLevel(level)) throw new KmeError('BAD_REQUEST', `the level of ${component} must be one of trace, debug, info, warn, error, fatal, silent`)
  return [component, level]
}))

const views = ({ port, metrics }: RouteParts): Route[] => {
  const view = (path: string, does: string, run: Route['run']): Route => ({ method: 'GET', path, role: 'view', does, run })
  return [
    view('/v1/status', 'the KME and its parts', () => ok(port.status())),
    view('/v1/health', 'live and ready, with reasons', () => ok(port.health())),
    view('/healthz', '200 while the process lives, else 503', () => ({ status: port.health().live ? 200 : 503, json: { live: port.health().live } })),
    view('/readyz', '200 when keys can be delivered, else 503', () => {
      const { ready, reasons } = port.health()
      return { status: ready ? 200 : 503, json: { ready, reasons } }
    }),
    view('/v1/pools', 'stock, rates, forecast, lanes', () => ok(port.pools())),
    view('/v1/links', 'QKD links', () => ok(port.links())),
    view('/v1/peers', 'neighbouring KMEs', () => ok(port.peers())),
    view('/v1/devices', 'QKD devices', () => ok(port.devices())),
    view('/v1/devices/:id/headers', 'newest frame headers of a device, without payload', (ask) => ok(port.frameHeaders(idOf(ask)))),
    {
      ...view('/v1/saes', 'registered SAEs, by pages', ({ query }) => {
        const { after, limit } = pageOf(query)
        return ok(port.saes(after, limit))
      }),
      query: { after: 'the page begins behind this ID', limit: `SAEs of a page, up to ${PAGE_MAX}; ${PAGE_USUAL}` },
    },
    view('/v1/account', 'where every bit is', async () => ok(await port.account())),
    view('/v1/alerts', 'active and cleared alerts', () => ok(port.alerts())),
    view('/v1/topology', 'the network: KMEs, links with stock and rate, routes', () => ok(port.topology())),
    view('/v1/log-levels', 'levels by component', () => ok(port.logLevels())),
    view('/metrics', 'Prometheus text', async () => {
      const { contentType, body } = await metrics()
      return { status: 200, plain: { contentType, text: body } }
    }),
  ]
}

const saeRoutes = ({ port }: RouteParts): Route[] => [
  {
    method: 'POST', path: '/v1/saes', role: 'operate', does: 'register an SAE: {id, name?}',
    run: async ({ body }) => {
      onlyMembers(body, ['id', 'name'])
      const id = entityId(textMember(body, 'id', 64), 'id')
      return { status: 201, json: await port.addSae(body['name'] === undefined ? { id } : { id, name: textMember(body, 'name', 200) }) }
    },
  },
  { method: 'POST', path: '/v1/saes/:id/approve', role: 'operate', does: 'register an SAE that asked for it', run: act((id) => port.approveSae(id)) },
  { method: 'POST', path: '/v1/saes/:id/suspend', role: 'operate', does: 'refuse an SAE', run: act((id) => port.suspendSae(id)) },
  { method: 'POST', path: '/v1/saes/:id/resume', role: 'operate', does: 'accept a suspended SAE again', run: act((id) => port.resumeSae(id)) },
  { method: 'DELETE', path: '/v1/saes/:id', role: 'operate', does: 'remove an SAE for good', run: act((id) => port.removeSae(id)) },
]

const acts = ({ port, kmeId }: RouteParts): Route[] => [
  { method: 'POST', path: '/v1/pools/:id/replenish', role: 'operate', does: 'ask for stock now', run: act((id) => port.replenish(id)) },
  { method: 'POST', path: '/v1/pools/:id/resume', role: 'operate', does: 'end a suspension; still: what holds the pool besides', run: act((id) => port.resumePool(id)) },
  { method: 'POST', path: '/v1/links/:id/release', role: 'operate', does: 'end a quarantine or hold, on probation; still: whether the other KME holds it', run: act((id) => port.releaseLink(id)) },
  { method: 'POST', path: '/v1/parts/:id/restart', role: 'operate', does: 'start a part that was given up', run: act((id) => port.restartPart(id)) },
  {
    method: 'PUT', path: '/v1/log-levels', role: 'operate', does: 'set levels: {component: level}; * is the default',
    run: ({ body }) => {
      port.setLogLevels(levelsOf(body))
      return ok(port.logLevels())
    },
  },
  { method: 'POST', path: '/v1/peers/:id/retire', role: 'destroy', does: 'void all stock with a peer or a far KME, on both sides', run: act((id) => port.retirePeer(id)) },
  {
    method: 'POST', path: '/v1/zeroize', role: 'destroy', does: 'erase all key and end: {confirm: "zeroize <KME ID>"}',
    run: async ({ body }) => {
      onlyMembers(body, ['confirm'])
      if (body['confirm'] !== `zeroize ${kmeId}`) throw new KmeError('BAD_REQUEST', `to erase all key for good, send {"confirm":"zeroize ${kmeId}"}`)
      await port.zeroize()
      return done
    },
  },
]

/** Every route of the admin API. */
export const adminRoutes = (parts: RouteParts): readonly Route[] => [...views(parts), ...saeRoutes(parts), ...acts(parts), ...incidentRoutes(parts.port)]
