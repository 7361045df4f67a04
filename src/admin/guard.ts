import type { IncomingHttpHeaders } from 'node:http'
import { KmeError } from '../kernel/errors.js'

/** Who may call from where. Against pages in an operator's browser: DNS rebinding (Host), forged requests (Origin). */
export interface GuardOptions {
  /** Accepted values of Host, lower case, with port where it is not the default. */
  readonly hosts: readonly string[]
  /** Origins of other pages that may call, such as `https://dashboard.example`. */
  readonly corsOrigins: readonly string[]
}

/** Whether the page that calls is of this server itself, of an allowed origin, or whether no page calls at all. */
export type Caller = { readonly cors: string | undefined }

/**
 * Checks Host and Origin of a request.
 *
 * @returns the origin to name in CORS headers, if it is another one.
 * @throws KmeError `FORBIDDEN` or `BAD_REQUEST`.
 * @see RFC 9110 clause 7.2 (Host); the Fetch standard on Origin
 */
export const guard = (headers: IncomingHttpHeaders, options: GuardOptions): Caller => {
  const host = headers.host?.toLowerCase()
  if (host === undefined || host === '') throw new KmeError('BAD_REQUEST', 'the request has no Host header')
  if (!options.hosts.includes(host)) throw new KmeError('FORBIDDEN', 'this Host is not served here: see the setting admin.https.hosts')
  const origin = headers.origin
  const site = headers['sec-fetch-site']
  if (origin === undefined) {
    if (site !== undefined && site !== 'same-origin' && site !== 'none') throw new KmeError('FORBIDDEN', 'requests from other sites are refused')
    return { cors: undefined }
  }
  if (options.hosts.some((own) => origin === `https://${own}`)) return { cors: undefined }
  if (options.corsOrigins.includes(origin)) return { cors: origin }
  throw new KmeError('FORBIDDEN', 'this Origin is not allowed: see the setting admin.https.corsOrigins')
}

/** Acts come as JSON only: a form of a foreign page cannot send that type without asking first. */
export const requireJson = (headers: IncomingHttpHeaders): void => {
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw new KmeError('UNSUPPORTED_MEDIA_TYPE', 'send the request as Content-Type: application/json, with {} if there is nothing to say')
}
