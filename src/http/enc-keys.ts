import type { SaeId } from '../kernel/ids.js'
import { checkContentType, readBody, readFraming, refuseBody } from './body.js'
import type { Exchange } from './exchange.js'
import { readJson } from './json.js'
import { checkNumber, checkSizeBits, readKeyRequest, type KeyRequest } from './key-request.js'
import { queryInteger, readQuery } from './query.js'
import { RequestError, badParameter } from './request-error.js'
import type { UwsRequest } from './uws-types.js'

const none: readonly never[] = []

/**
 * Get key by GET: no body, and at most `number` and `size` as query parameters.
 *
 * @throws RequestError
 * @see ETSI GS QKD 014 V1.1.1, clause 5.3
 */
export const encKeysGet = (exchange: Exchange, req: UwsRequest): void => {
  const slave = slaveOf(exchange, req)
  refuseBody(req)
  const { keys } = exchange.rest, query = req.getQuery()
  if (query === undefined || query === '') {
    deliver(exchange, slave, { number: 1, sizeBits: keys.keySizeBits, additionalSlaves: none, extensions: none })
    return
  }
  const parameters = readQuery(query, ['number', 'size'])
  const number = parameters.get('number'), size = parameters.get('size')
  deliver(exchange, slave, {
    number: number === undefined ? 1 : checkNumber(queryInteger(number), keys),
    sizeBits: size === undefined ? keys.keySizeBits : checkSizeBits(queryInteger(size), keys),
    additionalSlaves: none, extensions: none,
  })
}

/**
 * Get key by POST: a Key request, or nothing, which is an empty Key request.
 *
 * @throws RequestError
 * @see ETSI GS QKD 014 V1.1.1, clauses 5.3 and 6.2
 */
export const encKeysPost = (exchange: Exchange, req: UwsRequest): void => {
  const slave = slaveOf(exchange, req)
  const framing = readFraming(req), contentType = req.getHeader('content-type')
  if ((req.getQuery() ?? '') !== '') throw new RequestError('BAD_REQUEST', 'POST takes its parameters in the body, not in the query')
  const { keys, rules, registry, limits } = exchange.rest
  const run = (body: Uint8Array): void => {
    if (body.length > 0) checkContentType(contentType, rules.strictContentType)
    const json = body.length === 0 ? {} : readJson(body, limits.jsonDepth)
    deliver(exchange, slave, readKeyRequest(json, exchange.caller, slave, keys, rules, registry))
  }
  if (framing.bytes === 0) run(new Uint8Array(0))
  else readBody(exchange, framing, run)
}

const slaveOf = (exchange: Exchange, req: UwsRequest): SaeId => {
  const slave = exchange.rest.pathIds.read(req.getParameter(0) ?? '', 'slave_SAE_ID')
  if (slave === exchange.caller) throw badParameter('slave_SAE_ID', 'must not be the caller')
  return slave
}

const deliver = (exchange: Exchange, slave: SaeId, request: KeyRequest): void => {
  const { rest, caller } = exchange
  if (rest.keyBitBuckets.on) {
    const bits = request.number * request.sizeBits
    const waitS = rest.keyBitBuckets.take(caller, bits, exchange.cameMs)
    if (waitS > 0) {
      exchange.refuse({ code: 'THROTTLED', message: 'too many key bits', retryAfterS: waitS })
      return
    }
    exchange.keyBits = bits
  }
  exchange.serve(askForKeys, slave, request)
}

const askForKeys = (exchange: Exchange, slave: SaeId, { number, sizeBits, additionalSlaves, extensions }: KeyRequest): void => {
  const { caller, cameMs, wallMs } = exchange
  exchange.rest.service.encKeys({ caller, slave, additionalSlaves, number, sizeBits, extensions, receivedMs: cameMs, receivedWallMs: wallMs }, exchange)
}
