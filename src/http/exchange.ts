import { KmeError } from '../kernel/errors.js'
import type { SaeId } from '../kernel/ids.js'
import type { KeyReply, Refusal } from '../pool/service.js'
import { RequestError } from './request-error.js'
import type { Gate, Rest } from './rest.js'
import { statusLines, type Outcome } from './status.js'
import { textBytes } from './text-bytes.js'
import type { UwsResponse } from './uws-types.js'
import { errorAnswer } from './wire.js'

// One header call instead of three: the library writes key and value as they are.
const JSON_HEADER = 'Content-Type'
const JSON_HEADERS = 'application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff'
// A good answer's status line and headers in one call: the library writes a status as it is, too. As bytes, which it need not transcode.
const GOOD = textBytes(`200 OK\r\n${JSON_HEADER}: ${JSON_HEADERS}`)
const BARE_HEADER = 'Cache-Control'
const BARE_HEADERS = 'no-store\r\nX-Content-Type-Options: nosniff'
// RFC 9110 wants a challenge on a 401, and mutual TLS has no registered scheme.
const CHALLENGE = `${BARE_HEADERS}\r\nWWW-Authenticate: mTLS`
// Up to this size an answer may be queued whole, so that it can end the connection.
const CLOSING_BYTES_MAX = 8_192
const NO_DELIVERY = -1

/**
 * One request and its answer. Answers exactly once, at once or later, whatever the service and the client do; an
 * answer that does not reach the socket whole is told to the service, which burns its keys.
 *
 * An answer is written with `tryEnd`, which never queues a body behind an unread one: a client that pipelines and
 * does not read has one unfinished answer, and its next request closes the connection.
 */
export class Exchange implements KeyReply {
  caller: SaeId = ''
  /** When the request was there as a whole and its caller was let in, by the monotonic and the wall clock. */
  cameMs: number
  wallMs = 0
  /** Key bits taken from the caller's bucket for this request. */
  keyBits = 0
  /** The caller has had its share of this turn: a good request waits for the next one, a bad one ends the connection. */
  crowded = false
  /** While the library is inside a callback of this connection, writes are gathered into one TLS record by itself. */
  corked = true
  readonly #startMs: number
  #replied = false
  #dead = false
  #held = false
  #handed = false
  #delivery = NO_DELIVERY
  #outcome: Outcome = '200'
  #rest: Buffer | undefined

  /** @param method  Index into `methods` of counters.ts. */
  constructor (readonly rest: Rest, readonly gate: Gate, readonly res: UwsResponse, private readonly method: number) {
    this.#startMs = this.cameMs = rest.clock.monoMs()
  }

  get replied (): boolean { return this.#replied }

  /** Whether the connection is gone. */
  get dead (): boolean { return this.#dead }

  /**
   * Hands the request to the key service, which owes a reply from then on: now, or in the loop's next turn if the caller
   * has had its share of this one. `run` is a function of its own, because a closure for each request costs more than its work.
   */
  serve<T> (run: (exchange: Exchange, other: SaeId, what: T) => void, other: SaeId, what: T): void {
    if (!this.crowded) {
      this.#handed = true
      run(this, other, what)
      return
    }
    this.hold()
    this.rest.bursts.nextTurn(() => {
      if (this.#dead) return
      this.crowded = false
      this.#handed = true
      try { run(this, other, what) } catch (error) { this.fail(error) }
    })
  }

  /** Called once when the connection closes before the answer, from inside the library: touch no response there. */
  onDead: (() => void) | undefined

  keys (json: Uint8Array, delivery: number): void {
    if (this.#replied) {
      this.rest.service.aborted(delivery)
      this.rest.fault(new Error('invariant violated: the key service replies once'))
      return
    }
    this.#replied = true
    this.#delivery = delivery
    if (this.#dead) this.#lose()
    else if (this.corked) this.#sendGood(json)
    else this.res.cork(() => { this.#sendGood(json) })
  }

  refuse (refusal: Refusal): void { this.answerError(refusal, false) }

  /** Answers an error; `close` also ends the connection. */
  answerError (refusal: Refusal, close: boolean): void {
    if (this.#replied) {
      this.rest.fault(new Error('invariant violated: the key service replies once'))
      return
    }
    this.#replied = true
    if (this.keyBits > 0) this.rest.keyBitBuckets.giveBack(this.caller, this.keyBits)
    if (this.#dead) this.#lose()
    else if (this.corked) this.#sendError(refusal, close, '')
    else this.res.cork(() => { this.#sendError(refusal, close, '') })
  }

  /** Answers 405 and ends the connection, because a body may follow; a HEAD gets none. Only from the route handler. */
  answerNotAllowed (allow: string, withBody: boolean): void {
    this.#replied = true
    const refusal: Refusal = { code: 'METHOD_NOT_ALLOWED', message: `use ${allow.replace(', ', ' or ')} here` }
    if (withBody) this.#sendError(refusal, true, `\r\nAllow: ${allow}`)
    else {
      this.#outcome = '405'
      this.res.writeStatus(statusLines[405]).writeHeader(BARE_HEADER, `${BARE_HEADERS}\r\nAllow: ${allow}`).endWithoutBody(0, true)
      this.#finish()
    }
  }

  /** Answers 401 to a caller whose certificate does not count, and ends the connection (014 clause 5.1). */
  answerUnauthenticated (fields: Record<string, string>): void {
    this.#replied = true
    this.#outcome = '401'
    const address = Buffer.from(this.res.getRemoteAddressAsText()).toString('latin1')
    this.rest.events.tell('authentication.failed', this.caller === '' ? address : this.caller, () => ({ ...fields, address }))
    this.res.writeStatus(statusLines[401]).writeHeader(BARE_HEADER, CHALLENGE).end('', true)
    this.#finish()
  }

  /** Answers Get status. */
  answer (json: Uint8Array): void {
    this.#replied = true
    if (this.corked) this.#sendGood(json)
    else this.res.cork(() => { this.#sendGood(json) })
  }

  /** Answers what was thrown: an expected failure by its code, anything else as a fault of ours. */
  fail (error: unknown, close = false): void {
    if (!(error instanceof KmeError)) this.rest.fault(error)
    if (this.#replied) return
    if (error instanceof RequestError) this.answerError({ code: error.code, message: error.message, ...(error.details === undefined ? {} : { details: error.details }) }, close)
    else if (error instanceof KmeError) this.answerError({ code: error.code, message: error.message }, close)
    else this.answerError({ code: 'INTERNAL', message: '' }, close)
  }

  /** Must be called before a handler returns without an answer: from then on the client may go away. */
  hold (): void {
    if (this.#held) return
    this.#held = true
    this.gate.hold()
    this.rest.counters.pending++
    this.res.onAborted(() => { this.#abort() })
  }

  #sendGood (json: Uint8Array): void {
    this.res.writeStatus(GOOD)
    this.#sendBody(json, this.gate.state !== 'open')
  }

  #sendError (refusal: Refusal, close: boolean, header: string): void {
    const answer = errorAnswer(refusal)
    this.#outcome = answer.status
    this.#tell(refusal)
    this.res.writeStatus(statusLines[answer.status])
    if (answer.body === '') {
      // A 401 ends the connection: a bodyless answer cannot be held back from a client that does not read.
      this.res.writeHeader(BARE_HEADER, CHALLENGE).end('', true)
      this.#finish()
      return
    }
    const retry = answer.retryAfterS === undefined ? '' : `\r\nRetry-After: ${answer.retryAfterS}`
    this.res.writeHeader(JSON_HEADER, `${JSON_HEADERS}${header}${retry}`)
    this.#sendBody(answer.body, close || this.crowded || this.gate.state !== 'open')
  }

  #tell (refusal: Refusal): void {
    const fields = (): Record<string, string> => ({ code: refusal.code, reason: refusal.message.slice(0, 200) })
    if (this.#outcome === '401') this.rest.events.tell('authorisation.denied', this.caller, fields)
    else if (refusal.code === 'THROTTLED') this.rest.events.tell('request.throttled', this.caller, fields)
    else if (this.#outcome !== '503') this.rest.events.tell('request.malformed', this.caller, fields)
  }

  #sendBody (body: Uint8Array | string, close: boolean): void {
    if (close && body.length <= CLOSING_BYTES_MAX) {
      this.res.end(body, true)
      this.#finish()
      return
    }
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (this.res.tryEnd(body, length)[1]) this.#finish()
    else this.#keepRest(typeof body === 'string' ? Buffer.from(body) : body)
  }

  /** The socket is full: the rest of the answer is ours until the client reads. */
  #keepRest (body: Uint8Array): void {
    const start = this.res.getWriteOffset()
    const rest = Buffer.allocUnsafeSlow(body.length - start)
    rest.set(body.subarray(start))
    this.#rest = rest
    this.rest.answersBytes += rest.length
    this.hold()
    if (this.rest.answersBytes > this.rest.limits.answersBytes) {
      this.res.close() // Calls onAborted.
      return
    }
    this.res.onWritable((offset) => {
      const [ok, whole] = this.res.tryEnd(rest.subarray(offset - start), body.length)
      if (whole) this.#finish()
      return ok
    })
  }

  #finish (): void {
    if (this.#held) this.#release()
    const { counters } = this.rest, latencyMs = this.rest.clock.monoMs() - this.#startMs
    if (this.#outcome === '200') counters.good(this.method, latencyMs)
    else counters.request(this.method, this.#outcome, latencyMs)
  }

  /** The connection closed before the answer was whole. */
  #abort (): void {
    if (this.#dead) return
    this.#dead = true
    this.#release()
    this.onDead?.()
    if (this.#replied || !this.#handed) this.#lose()
  }

  /** The answer cannot be delivered, or not whole. */
  #lose (): void {
    this.rest.counters.request(this.method, 'aborted', this.rest.clock.monoMs() - this.#startMs)
    if (this.#delivery === NO_DELIVERY) return
    this.rest.service.aborted(this.#delivery)
    this.rest.events.tell('delivery.aborted', this.caller, () => ({ delivery: this.#delivery }))
  }

  #release (): void {
    if (this.#rest !== undefined) {
      this.#rest.fill(0)
      this.rest.answersBytes -= this.#rest.length
      this.#rest = undefined
    }
    if (!this.#held) return
    this.#held = false
    this.rest.counters.pending--
    this.gate.release()
  }
}
