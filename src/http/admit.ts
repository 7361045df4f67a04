import type { Exchange } from './exchange.js'

/**
 * Finds out who calls, on each request, from the client certificate alone (014 clause 5.1): the verdict on the
 * certificate holds for now, the SAE is registered and active, and it keeps to its rate. Answers otherwise.
 *
 * @returns whether to go on; then `exchange.caller` is the SAE.
 */
export const admit = (exchange: Exchange): boolean => {
  const { rest } = exchange
  if (exchange.gate.state === 'stopping') {
    exchange.answerError({ code: 'STOPPING', message: 'this KME is stopping' }, true)
    return false
  }
  if (!isLetIn(exchange)) return false
  return rest.requestBuckets.on ? withinRate(exchange) : true
}

/** A body this much later than its headers came by itself. */
const LATE_MS = 100

/**
 * The body is there. Who sends one a byte at a time may take an hour for it, and must not act then under a certificate or a
 * registration that has ended since, nor have keys recorded under the time of its headers.
 *
 * @returns whether to go on, as `admit`.
 */
export const admitLate = (exchange: Exchange): boolean => {
  const nowMs = exchange.rest.clock.monoMs()
  if (nowMs - exchange.cameMs < LATE_MS) return true
  exchange.cameMs = nowMs
  return isLetIn(exchange)
}

/** Certificate and session, as they are now. Answers otherwise. */
const isLetIn = (exchange: Exchange): boolean => {
  const { rest } = exchange, wallMs = exchange.wallMs = rest.clock.wallMs()
  const verdict = rest.identities.verdict(exchange.gate.known.certificate(exchange.res), wallMs)
  if (!verdict.ok) {
    if (verdict.reason === 'ocsp-pending') { exchange.answerError({ code: 'BUSY', message: 'the revocation status of the certificate is being asked for', retryAfterS: 1 }, false); return false }
    exchange.answerUnauthenticated({ reason: verdict.reason, message: verdict.message.slice(0, 200) })
    return false
  }
  exchange.caller = verdict.id
  exchange.crowded = rest.bursts.isAbove(verdict.id)
  const state = rest.sessions.state(verdict.id, verdict.issuer)
  if (state === 'active') return true
  if (state === 'throttled') exchange.refuse({ code: 'THROTTLED', message: 'this SAE is slowed down by the KME' })
  else exchange.answerUnauthenticated({ reason: state, serial: verdict.serialHex })
  return false
}

const withinRate = (exchange: Exchange): boolean => {
  const waitS = exchange.rest.requestBuckets.take(exchange.caller, 1, exchange.cameMs)
  if (waitS > 0) exchange.refuse({ code: 'THROTTLED', message: 'too many requests', retryAfterS: waitS })
  return waitS === 0
}
