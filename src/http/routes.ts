import { admit } from './admit.js'
import { FramingError } from './body.js'
import { methods, type Method } from './counters.js'
import { decKeysGet, decKeysPost } from './dec-keys.js'
import { encKeysGet, encKeysPost } from './enc-keys.js'
import { Exchange } from './exchange.js'
import type { Gate, Rest } from './rest.js'
import { statusGet } from './status-method.js'
import type { UwsApp, UwsHandler, UwsRequest } from './uws-types.js'

type Run = (exchange: Exchange, req: UwsRequest) => void

/**
 * Puts the methods of ETSI GS QKD 014 V1.1.1 (Table 2) on an app. Who calls is settled before anything else, so that
 * a stranger learns nothing, not even which paths exist.
 */
export const addRoutes = (app: UwsApp, rest: Rest, gate: Gate): void => {
  const on = (method: Method, run: Run): UwsHandler => handler(rest, gate, methods.indexOf(method), run)
  app.get('/api/v1/keys/:slave/status', on('status', statusGet))
  app.any('/api/v1/keys/:slave/status', on('status', notAllowed('GET')))
  app.get('/api/v1/keys/:slave/enc_keys', on('enc_keys', encKeysGet))
  app.post('/api/v1/keys/:slave/enc_keys', on('enc_keys', encKeysPost))
  app.any('/api/v1/keys/:slave/enc_keys', on('enc_keys', notAllowed('GET, POST')))
  app.get('/api/v1/keys/:master/dec_keys', on('dec_keys', decKeysGet))
  app.post('/api/v1/keys/:master/dec_keys', on('dec_keys', decKeysPost))
  app.any('/api/v1/keys/:master/dec_keys', on('dec_keys', notAllowed('GET, POST')))
  app.any('/*', on('other', notFound))
}

// An exception that leaves a callback of the library ends the process, so every way out is an answer.
const handler = (rest: Rest, gate: Gate, method: number, run: Run): UwsHandler => (res, req) => {
  const exchange = new Exchange(rest, gate, res, method)
  try {
    if (admit(exchange)) run(exchange, req)
  } catch (error) {
    exchange.fail(error, error instanceof FramingError)
  }
  exchange.corked = false
  if (!exchange.replied) exchange.hold()
}

/** A HEAD is refused like any other method: to treat it as a GET would consume keys. */
const notAllowed = (allow: string): Run => (exchange, req) => {
  exchange.answerNotAllowed(allow, req.getMethod() !== 'head')
}

const notFound: Run = (exchange) => {
  const message = 'no such resource: the API is /api/v1/keys/{SAE_ID}/status, enc_keys and dec_keys'
  exchange.answerError({ code: 'NOT_FOUND', message }, true)
}
