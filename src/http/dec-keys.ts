import type { SaeId } from '../kernel/ids.js'
import { checkContentType, readBody, readFraming, refuseBody } from './body.js'
import type { Exchange } from './exchange.js'
import { readJson } from './json.js'
import { checkKeyId, readKeyIds } from './key-ids.js'
import { readQuery } from './query.js'
import { RequestError, badParameter } from './request-error.js'
import type { UwsRequest } from './uws-types.js'

const usual = /^key_ID=[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * Get key with key IDs by GET: exactly one ID, as a query parameter. A caller that names itself as master is not
 * refused here: the key service answers it like any other SAE that is not among the slaves (401).
 *
 * @throws RequestError
 * @see ETSI GS QKD 014 V1.1.1, clause 5.4
 */
export const decKeysGet = (exchange: Exchange, req: UwsRequest): void => {
  const master = exchange.rest.pathIds.read(req.getParameter(0) ?? '', 'master_SAE_ID')
  refuseBody(req)
  const query = req.getQuery() ?? ''
  // The usual form needs no parser; whatever is not a plain UUID behind the name takes the long way.
  if (usual.test(query)) {
    fetch(exchange, master, [query.slice(7)])
    return
  }
  const keyId = readQuery(query, ['key_ID']).get('key_ID')
  if (keyId === undefined) throw badParameter('key_ID', 'must be given')
  fetch(exchange, master, [checkKeyId(keyId)])
}

/**
 * Get key with key IDs by POST.
 *
 * @throws RequestError
 * @see ETSI GS QKD 014 V1.1.1, clauses 5.4 and 6.4
 */
export const decKeysPost = (exchange: Exchange, req: UwsRequest): void => {
  const master = exchange.rest.pathIds.read(req.getParameter(0) ?? '', 'master_SAE_ID')
  const framing = readFraming(req), contentType = req.getHeader('content-type')
  if ((req.getQuery() ?? '') !== '') throw new RequestError('BAD_REQUEST', 'POST takes its parameters in the body, not in the query')
  const { keys, rules, limits } = exchange.rest
  const run = (body: Uint8Array): void => {
    if (body.length === 0) throw badParameter('key_IDs', 'must name at least one key')
    checkContentType(contentType, rules.strictContentType)
    fetch(exchange, master, readKeyIds(readJson(body, limits.jsonDepth), keys.maxKeyPerRequest, rules.strictMembers))
  }
  if (framing.bytes === 0) run(new Uint8Array(0))
  else readBody(exchange, framing, run)
}

const fetch = (exchange: Exchange, master: SaeId, keyIds: readonly string[]): void => { exchange.serve(askForKeys, master, keyIds) }

const askForKeys = (exchange: Exchange, master: SaeId, keyIds: readonly string[]): void => {
  exchange.rest.service.decKeys({ caller: exchange.caller, master, keyIds }, exchange)
}
