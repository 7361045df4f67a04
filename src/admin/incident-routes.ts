import { KmeError } from '../kernel/errors.js'
import { entityId } from '../kernel/ids.js'
import { onlyMembers, textMember, type Body } from './body.js'
import type { AdminPort, VoidRequest } from './port.js'
import type { Answer, Ask, Route } from './routes.js'

/** Key IDs in one request: a body of 64 KiB holds about so many. */
export const VOID_IDS_MAX = 1_000
const REASON_MAX = 200
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const bad = (message: string): KmeError => new KmeError('BAD_REQUEST', message)

const idsOf = (value: unknown): string[] => {
  if (!Array.isArray(value) || value.length < 1 || value.length > VOID_IDS_MAX) throw bad(`ids must be a list of 1 to ${VOID_IDS_MAX} key IDs`)
  return value.map((id: unknown) => {
    const text = typeof id === 'string' ? id.toLowerCase() : ''
    if (!uuid.test(text)) throw bad('each of ids must be a key_ID, a UUID with hyphens')
    return text
  })
}

const timeOf = (body: Body, name: string): number => {
  const text = textMember(body, name, 40), ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN
  if (!Number.isSafeInteger(ms) || ms < 0) throw bad(`${name} must be a time such as 2026-03-01T12:00:00Z`)
  return ms
}

const voidRequest = (body: Body): VoidRequest => {
  onlyMembers(body, ['ids', 'sae', 'peer', 'from', 'to', 'reason', 'dryRun'])
  const has = (name: string): boolean => body[name] !== undefined
  const hasTime = has('from') || has('to')
  if ([has('ids'), has('sae'), has('peer') || hasTime].filter(Boolean).length !== 1) throw bad('say which keys: ids, sae, peer, or from and to; peer may stand with a time')
  if (hasTime && !(has('from') && has('to'))) throw bad('a time has both from and to')
  if (body['dryRun'] !== undefined && typeof body['dryRun'] !== 'boolean') throw bad('dryRun must be true or false')
  const time = hasTime ? { fromMs: timeOf(body, 'from'), toMs: timeOf(body, 'to') } : undefined
  if (time !== undefined && time.fromMs > time.toMs) throw bad('from must not be later than to')
  return {
    reason: textMember(body, 'reason', REASON_MAX), dryRun: body['dryRun'] === true, ...time,
    ...has('ids') ? { ids: idsOf(body['ids']) } : {}, ...has('sae') ? { sae: entityId(textMember(body, 'sae', 64), 'sae') } : {},
    ...has('peer') ? { peer: entityId(textMember(body, 'peer', 64), 'peer') } : {},
  }
}

const id = ({ params }: Ask): string => {
  const text = params['id'] ?? ''
  if (text.length < 1 || text.length > 128) throw bad('the ID in the path must have 1 to 128 characters')
  return text
}

const reasonOf = (body: Body): string => {
  onlyMembers(body, ['reason'])
  return textMember(body, 'reason', REASON_MAX)
}

const done: Answer = { status: 200, json: { done: true } }

/** What an operator does when keys may be known to others: void, hold, release, and what was done. */
export const incidentRoutes = (port: AdminPort): Route[] => [
  { method: 'GET', path: '/v1/incidents', role: 'view', does: 'voids, holds and releases, the newest first', run: () => ({ status: 200, json: port.incidents() }) },
  { method: 'GET', path: '/v1/incidents/:id', role: 'view', does: 'one of them, and whether every KME has confirmed', run: (ask) => ({ status: 200, json: port.incident(id(ask)) }) },
  {
    method: 'POST', path: '/v1/voids', role: 'destroy', does: 'void keys that are not fetched yet: {ids | sae | peer | from, to; reason, dryRun?}',
    run: async ({ body }) => ({ status: 200, json: await port.voidKeys(voidRequest(body)) }),
  },
  {
    method: 'POST', path: '/v1/links/:id/hold', role: 'operate', does: 'take no key from a link, at both ends, until it is released: {reason}',
    run: async (ask) => { await port.holdLink(id(ask), reasonOf(ask.body)); return done },
  },
  {
    method: 'POST', path: '/v1/peers/:id/hold', role: 'operate', does: 'serve no key with a KME, here and there, until it is released: {reason}',
    run: async (ask) => { await port.holdPeer(id(ask), reasonOf(ask.body)); return done },
  },
  {
    method: 'POST', path: '/v1/peers/:id/release', role: 'operate', does: 'end a hold of this KME; still: whether the other KME holds it',
    run: async (ask) => { onlyMembers(ask.body, []); return { status: 200, json: await port.releasePeer(id(ask)) } },
  },
]
