import type { IncomingMessage, ServerResponse } from 'node:http'
import { KmeError } from '../kernel/errors.js'
import type { Log } from '../kernel/log.js'
import { Counters, type MetricSink } from '../kernel/metrics.js'
import { parseBody, readBody } from './body.js'
import { guard, requireJson, type GuardOptions } from './guard.js'
import { matchRoute, type Match } from './match.js'
import { roleAllows, type Operator, type OperatorAct, type OperatorAudit } from './port.js'
import type { Answer, Route } from './routes.js'
import { answerOf } from './status.js'

/** Where a request came in: who calls, and what is checked there. */
export interface Entrance {
  readonly from: 'socket' | 'https'
  readonly guard: GuardOptions
  /** @throws KmeError `UNAUTHORIZED`. */
  readonly identify: (request: IncomingMessage) => Operator
}

export interface HandlerParts { readonly routes: readonly Route[], readonly audit: OperatorAudit, readonly log: Log }

const results = ['ok', 'refused', 'failed'] as const

/** Answers requests of operators: identity, guards, role, audit, then the route. */
export class AdminHandler {
  readonly #counts = new Counters<(typeof results)[number]>(results)
  #underWay = 0
  #idle: (() => void) | undefined

  constructor (private readonly parts: HandlerParts) {}

  registerMetrics (sink: MetricSink): void {
    sink.register('qkme_admin_requests_total', 'Requests of operators by result.', 'counter', () => this.#counts.samples('result'))
  }

  /** Resolves when no request is under way. */
  idle (): Promise<void> {
    return this.#underWay === 0 ? Promise.resolve() : new Promise((resolve) => { this.#idle = resolve })
  }

  /** Never throws and never rejects. */
  async handle (entrance: Entrance, request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#underWay += 1
    try {
      await this.#answer(entrance, request, response)
    } catch (error) {
      this.#fail(request, response, error)
    } finally {
      this.#underWay -= 1
      if (this.#underWay === 0) this.#idle?.()
    }
  }

  async #answer (entrance: Entrance, request: IncomingMessage, response: ServerResponse): Promise<void> {
    harden(response, entrance.from)
    const { cors } = guard(request.headers, entrance.guard)
    if (cors !== undefined) allowCors(response, cors)
    if (request.method === 'OPTIONS' && cors !== undefined) { response.writeHead(204).end(); return }
    const who = this.#identify(entrance, request)
    const url = new URL(request.url ?? '/', 'http://admin')
    const match = matchRoute(this.parts.routes, request.method ?? '', url.pathname)
    await this.#authorize(entrance, who, match)
    const body = match.route.method === 'GET' || match.route.method === 'DELETE' ? {} : (requireJson(request.headers), parseBody(await readBody(request)))
    const ask = { params: match.params, query: url.searchParams, body, host: request.headers.host ?? '' }
    const answer = match.route.method === 'GET' ? await match.route.run(ask) : await this.#act(entrance, who, match, () => match.route.run(ask))
    this.#counts.add('ok')
    write(response, answer, request.method === 'HEAD')
  }

  #identify (entrance: Entrance, request: IncomingMessage): Operator {
    try {
      return entrance.identify(request)
    } catch (error) {
      this.parts.log.security({
        category: 'authentication', severity: 'medium', event: 'operator.unknown', subject: entrance.from, outcome: 'refused',
        fields: { reason: error instanceof Error ? error.message : 'unknown', address: request.socket.remoteAddress ?? '' },
      })
      throw new KmeError('UNAUTHORIZED', 'show the certificate of an operator')
    }
  }

  async #authorize (entrance: Entrance, who: Operator, match: Match): Promise<void> {
    if (roleAllows(who.role, match.route.role)) return
    this.parts.log.security({
      category: 'authorisation', severity: 'high', event: 'operator.refused', subject: who.name, outcome: 'refused', fields: { action: actionOf(match) },
    })
    await this.parts.audit.record(recordOf(entrance, who, match, 'refused', 'FORBIDDEN'))
    throw new KmeError('FORBIDDEN', `this needs the role ${match.route.role}; you have ${who.role}`)
  }

  /** An act is in the audit trail before it is done, and its outcome after. */
  async #act (entrance: Entrance, who: Operator, match: Match, run: () => Answer | Promise<Answer>): Promise<Answer> {
    const { audit, log } = this.parts
    await audit.record(recordOf(entrance, who, match, 'begun', ''))
    let answer: Answer
    try {
      answer = await run()
    } catch (error) {
      const code = error instanceof KmeError ? error.code : 'INTERNAL'
      await audit.record(recordOf(entrance, who, match, 'failed', code)).catch((e: unknown) => { log.error('outcome of an act not recorded', { error: e }) })
      throw error
    }
    log.security({
      category: 'operator', severity: match.route.role === 'destroy' ? 'high' : 'info', event: 'operator.act', subject: who.name, outcome: 'allowed',
      fields: { action: actionOf(match), on: subjectOf(match) },
    })
    // After zeroize there may be nothing left to write to: what was begun is on record.
    await audit.record(recordOf(entrance, who, match, 'done', '')).catch((e: unknown) => { log.error('outcome of an act not recorded', { error: e }) })
    return answer
  }

  #fail (request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const { status, body } = answerOf(error)
    this.#counts.add(status >= 500 ? 'failed' : 'refused')
    if (status >= 500) this.parts.log.error('admin request failed', { error, method: request.method ?? '' })
    if (response.headersSent || response.destroyed) { response.destroy(); return }
    // A body that was not read to its end is not worth reading: the connection ends with the answer.
    if (!request.complete) response.setHeader('connection', 'close')
    write(response, { status, json: body }, request.method === 'HEAD')
  }
}

const actionOf = ({ route }: Match): string => `${route.method} ${route.path}`
const subjectOf = ({ params }: Match): string => params['id'] ?? ''

const recordOf = (entrance: Entrance, who: Operator, match: Match, outcome: OperatorAct['outcome'], code: string): OperatorAct =>
  ({ operator: who.name, role: who.role, from: entrance.from, action: actionOf(match), subject: subjectOf(match).slice(0, 128), outcome, code })

const harden = (response: ServerResponse, from: Entrance['from']): void => {
  response.setHeader('cache-control', 'no-store')
  response.setHeader('x-content-type-options', 'nosniff')
  response.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
  response.setHeader('referrer-policy', 'no-referrer')
  if (from === 'https') response.setHeader('strict-transport-security', 'max-age=31536000')
}

const allowCors = (response: ServerResponse, origin: string): void => {
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('access-control-allow-credentials', 'true')
  response.setHeader('access-control-allow-methods', 'GET, POST, PUT, DELETE')
  response.setHeader('access-control-allow-headers', 'content-type')
  response.setHeader('vary', 'origin')
}

const write = (response: ServerResponse, answer: Answer, headOnly: boolean): void => {
  const text = answer.plain?.text ?? `${JSON.stringify(answer.json)}\n`
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  response.writeHead(answer.status, { 'content-type': answer.plain?.contentType ?? 'application/json; charset=utf-8', 'content-length': bytes.length, ...answer.headers })
  response.end(headOnly ? undefined : bytes)
}
