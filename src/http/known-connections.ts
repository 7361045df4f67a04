import type { UwsResponse } from './uws-types.js'

/** Looks through the shortcut once in so many requests of a connection. */
const PROOF_EVERY = 256

interface Known { pem: string, requests: number }

/**
 * The certificates of the open connections of one listener. To ask the library for the text costs an eighth of a whole request: it is encoded
 * anew each time. But a connection keeps the certificate that TLS verified when it began: there is no renegotiation in the library, and
 * none in TLS 1.3.
 *
 * A connection has a name (`connectionOf`) that is nobody else's while it is open. Only what `opened` has told of is remembered,
 * until `closed`; and a name that is opened begins anew. Of anything else, and now and then of these, the text is asked for.
 */
export class KnownConnections {
  readonly #known = new Map<number, Known>()
  /** The text of the last certificate that was read, so that the connections of one SAE share it. */
  #last = ''

  /** @param onMismatch  A connection has another certificate than was remembered of it, which must not be. The true one counts. */
  constructor (private readonly connectionOf: (res: UwsResponse) => number, private readonly onMismatch: (error: Error) => void) {}

  get size (): number { return this.#known.size }

  opened (res: UwsResponse): void {
    const name = this.connectionOf(res)
    if (name !== 0) this.#known.set(name, { pem: '', requests: 1 })
  }

  closed (res: UwsResponse): void { this.#known.delete(this.connectionOf(res)) }

  /** PEM of the certificate that TLS verified; '' if the client sent none. */
  certificate (res: UwsResponse): string {
    const known = this.#known.get(this.connectionOf(res))
    if (known === undefined) return res.getX509Certificate()
    if (known.pem !== '' && known.requests++ % PROOF_EVERY !== 0) return known.pem
    const pem = this.#shared(res.getX509Certificate())
    if (known.pem !== '' && known.pem !== pem) this.onMismatch(new Error('invariant violated: a connection keeps its certificate'))
    known.pem = pem
    return pem
  }

  #shared (pem: string): string { return this.#last === pem ? this.#last : this.#last = pem }
}
