import type { SaeId } from '../kernel/ids.js'
import { refuseBody } from './body.js'
import type { Exchange } from './exchange.js'
import { readQuery } from './query.js'
import { badParameter } from './request-error.js'
import type { UwsRequest } from './uws-types.js'

/**
 * Get status: what this KME could deliver to the caller for one slave SAE. Consumes and reserves nothing.
 *
 * @throws RequestError
 * @see ETSI GS QKD 014 V1.1.1, clauses 5.2 and 6.1
 */
export const statusGet = (exchange: Exchange, req: UwsRequest): void => {
  const slave = exchange.rest.pathIds.read(req.getParameter(0) ?? '', 'slave_SAE_ID')
  refuseBody(req)
  readQuery(req.getQuery(), [])
  if (slave === exchange.caller) throw badParameter('slave_SAE_ID', 'must not be the caller')
  exchange.serve(answerStatus, slave, undefined)
}

const answerStatus = (exchange: Exchange, slave: SaeId): void => {
  const { rest, caller } = exchange, status = rest.service.status(caller, slave)
  if ('code' in status) exchange.refuse(status)
  else exchange.answer(rest.statusText.bytes(caller, slave, status))
}
