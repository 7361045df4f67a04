import { admitLate } from './admit.js'
import type { Exchange } from './exchange.js'
import { RequestError } from './request-error.js'
import { textBytes } from './text-bytes.js'
import type { UwsRequest } from './uws-types.js'

/** How much body a request announces: bytes, or unknown (chunked). */
export interface Framing { readonly bytes: number | undefined }

const noBody: Framing = { bytes: 0 }
const CONTENT_LENGTH = textBytes('content-length'), TRANSFER_ENCODING = textBytes('transfer-encoding')

/** The request's framing is broken or its body must not be read: what follows on this connection cannot be trusted. */
export class FramingError extends RequestError {}

/**
 * Reads how the body is framed. The library passes repeated and malformed headers on, and two readers of one
 * connection that disagree where a request ends is how requests are smuggled.
 *
 * @throws FramingError `BAD_REQUEST` (the connection must be closed).
 * @see RFC 9112, clauses 6.1 and 6.3
 */
export const readFraming = (req: UwsRequest): Framing => {
  if (req.getHeader(CONTENT_LENGTH) === '' && req.getHeader(TRANSFER_ENCODING) === '') return noBody
  let length: string | undefined, coding: string | undefined, repeated = false
  req.forEach((name, value) => {
    if (name === 'content-length') {
      repeated ||= length !== undefined
      length = value
    } else if (name === 'transfer-encoding') {
      repeated ||= coding !== undefined
      coding = value
    }
  })
  if (repeated) throw new FramingError('BAD_REQUEST', 'Content-Length or Transfer-Encoding is repeated')
  if (coding !== undefined && length !== undefined) throw new FramingError('BAD_REQUEST', 'Content-Length and Transfer-Encoding exclude each other')
  if (coding !== undefined) {
    if (String(coding).toLowerCase() !== 'chunked') throw new FramingError('BAD_REQUEST', 'the only Transfer-Encoding understood is chunked')
    return { bytes: undefined }
  }
  if (!/^[0-9]{1,15}$/.test(length ?? '')) throw new FramingError('BAD_REQUEST', 'Content-Length is not a number')
  return { bytes: Number(length) }
}

/** @throws FramingError `BAD_REQUEST` if a GET has a body (014 clauses 5.3, 5.4: GET is "without a body"). */
export const refuseBody = (req: UwsRequest): void => {
  if (readFraming(req).bytes !== 0) throw new FramingError('BAD_REQUEST', 'GET takes no body; use POST')
}

/**
 * @param contentType  The header as it came; '' if absent.
 * @throws RequestError `UNSUPPORTED_MEDIA_TYPE` unless it is application/json, with any parameters.
 */
export const checkContentType = (contentType: string, strict: boolean): void => {
  if (contentType === '' && !strict) return
  if (/^application\/json[ \t]*(;|$)/i.test(contentType)) return
  throw new RequestError('UNSUPPORTED_MEDIA_TYPE', 'the body must have Content-Type: application/json')
}

/**
 * Collects a body of at most `limits.bodyBytes` and hands it on in one piece, valid only during the call. What is
 * being received by all connections together is bounded too; a sender that stops is ended by the idle time limit, and one that is slow must
 * still be let in when the body is there.
 *
 * @throws FramingError `BODY_TOO_LARGE` if more is announced than allowed.
 */
export const readBody = (exchange: Exchange, framing: Framing, onBody: (body: Uint8Array) => void): void => {
  const { rest } = exchange
  if ((framing.bytes ?? 0) > rest.limits.bodyBytes) throw tooLarge(rest.limits.bodyBytes)
  exchange.hold()
  let kept: Buffer | undefined, length = 0, over = false
  const release = (): void => {
    rest.bodiesBytes -= kept?.length ?? 0
    kept = undefined
  }
  const keep = (chunk: Uint8Array): void => {
    if (length + chunk.length > rest.limits.bodyBytes) throw tooLarge(rest.limits.bodyBytes)
    if (kept === undefined) {
      const size = framing.bytes ?? rest.limits.bodyBytes
      if (rest.bodiesBytes + size > rest.limits.bodiesBytes) throw new FramingError('BUSY', 'too many request bodies at once')
      rest.bodiesBytes += size
      kept = Buffer.allocUnsafeSlow(size)
    }
    kept.set(chunk, length)
    length += chunk.length
  }
  exchange.onDead = release
  exchange.res.onData((data, isLast) => {
    if (over) return
    exchange.corked = true
    try {
      const chunk = new Uint8Array(data)
      if (isLast && !admitLate(exchange)) over = true
      else if (isLast && kept === undefined && chunk.length <= rest.limits.bodyBytes) onBody(chunk)
      else {
        keep(chunk)
        if (isLast) onBody((kept as Buffer | undefined ?? Buffer.alloc(0)).subarray(0, length))
      }
    } catch (error) {
      over = true
      exchange.fail(error, error instanceof FramingError)
    }
    exchange.corked = false
    if (isLast || over) release()
  })
}

const tooLarge = (bytesMax: number): FramingError => new FramingError('BODY_TOO_LARGE', `the body must not exceed ${bytesMax} bytes`)
