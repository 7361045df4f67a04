import { invariant } from '../kernel/errors.js'
import type { Cancel } from '../kernel/time.js'
import type { HttpCounters } from './counters.js'
import type { KeyLimits } from './key-request.js'
import { KnownConnections } from './known-connections.js'
import { Gate, Rest, type RestDeps, type RestLimits, type RestRules } from './rest.js'
import { addRoutes } from './routes.js'
import { claimPort, createTlsApp, listenTls, type Listening, type TlsDoor } from './tls-app.js'
import type { UwsApp } from './uws-types.js'
import { loadConnectionOf } from './uws.js'

export interface RestOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly tls: TlsDoor
  /** No connection lives longer, so that no identity outlives its check at the handshake. */
  readonly connectionAgeMs: number
  readonly limits: RestLimits
  readonly keys: KeyLimits
  readonly rules: RestRules
}

export interface RestServer {
  readonly port: number
  readonly counters: HttpCounters
  /**
   * Takes certificate, key and CA anew (also under other paths): a second listener takes over the port, open
   * connections end with their next answer, or at the latest a tenth of the connection age later.
   *
   * @throws KmeError `CERTIFICATE_INVALID`; the old files stay in force then.
   */
  renew (tls?: TlsDoor): void
  /**
   * Accepts no more, refuses new requests with 503, waits at most `graceMs` for answers under way, then closes every
   * connection. What was under way is told to the key service as aborted. Never throws; a second call waits for the first.
   */
  stop (graceMs: number): Promise<void>
}

interface Door { readonly app: UwsApp, readonly gate: Gate, readonly listening: Listening }
interface Leaving { readonly door: Door, readonly cancel: Cancel }

/** A door that must still close its last connections; more than this many at a time are closed at once. */
const LEAVING_MAX = 4

/**
 * Opens the REST interface of ETSI GS QKD 014 for SAEs.
 *
 * @throws KmeError `PORT_TAKEN`, `CERTIFICATE_INVALID`, `CONFIG_INVALID`, `ADDON_MISSING`.
 */
export const startRest = async (options: RestOptions, deps: RestDeps): Promise<RestServer> => {
  const port = await claimPort(options.host, options.port)
  return new Server({ ...options, port }, new Rest(options.limits, options.keys, options.rules, deps))
}

/** Listeners that follow each other on one port: the current one, and those whose connections still end. */
class Server implements RestServer {
  readonly port: number
  readonly #leaving: Leaving[] = []
  #tls: TlsDoor
  #door: Door
  #cancelRotation: Cancel
  #stopped: Promise<void> | undefined

  constructor (private readonly options: RestOptions, private readonly rest: Rest) {
    this.#tls = options.tls
    this.port = options.port
    this.#door = openDoor(rest, options.tls, options.host, options.port)
    this.#cancelRotation = this.#scheduleRotation()
  }

  get counters (): HttpCounters { return this.rest.counters }

  renew (tls: TlsDoor = this.#tls): void {
    invariant(this.#stopped === undefined, 'a stopped server is not renewed')
    const next = openDoor(this.rest, tls, this.options.host, this.port)
    this.#tls = tls
    this.#leave(this.#door)
    this.#door = next
    this.#cancelRotation()
    this.#cancelRotation = this.#scheduleRotation()
  }

  stop (graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  // The library tells no request which connection it came on, so age is the listener's: it accepts for nine tenths
  // of the age limit, and its connections have the last tenth to end.
  #scheduleRotation (): Cancel {
    return this.rest.clock.after(this.options.connectionAgeMs * 0.9, () => {
      try {
        this.renew()
      } catch (error) {
        // Without files there is no new listener. So that nobody stays for ever on the old one, each of its
        // connections now ends with its next answer, or by the idle limit.
        this.#door.gate.state = 'closing'
        this.rest.log.error('the TLS files cannot be read again: connections end after one answer until they can', { error })
        this.#cancelRotation = this.#scheduleRotation()
      }
    })
  }

  #leave (door: Door): void {
    door.listening.close()
    door.gate.state = 'closing'
    const close = (): void => {
      const at = this.#leaving.findIndex((leaving) => leaving.door === door)
      this.#leaving.splice(at, 1)[0]?.cancel()
      door.app.close()
    }
    this.#leaving.push({ door, cancel: this.rest.clock.after(this.options.connectionAgeMs * 0.1, close) })
    while (this.#leaving.length > LEAVING_MAX) {
      const oldest = this.#leaving.shift()
      oldest?.cancel()
      oldest?.door.app.close()
    }
  }

  async #stop (graceMs: number): Promise<void> {
    this.#cancelRotation()
    for (const { cancel } of this.#leaving) cancel()
    const doors = [this.#door, ...this.#leaving.map(({ door }) => door)]
    for (const door of doors) {
      door.listening.close()
      door.gate.state = 'stopping'
    }
    await this.#idle(doors, graceMs)
    for (const { app } of doors) app.close()
  }

  #idle (doors: readonly Door[], graceMs: number): Promise<void> {
    const busy = (): boolean => doors.some(({ gate }) => gate.pending > 0)
    if (!busy()) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.rest.clock.after(graceMs, resolve)
      for (const { gate } of doors) {
        gate.onIdle = () => {
          if (busy()) return
          cancel()
          // The last answer is being written by the caller of this function: let it reach the socket first.
          setImmediate(resolve)
        }
      }
    })
  }
}

const openDoor = (rest: Rest, tls: TlsDoor, host: string, port: number): Door => {
  const app = createTlsApp(tls)
  const gate = new Gate(new KnownConnections(loadConnectionOf(), (error) => { rest.fault(error) }))
  addRoutes(app, rest, gate)
  countConnections(app, rest, gate)
  return { app, gate, listening: listenTls(app, host, port) }
}

/** IPv6: the first 64 bits, because one client has them all. IPv4 on an IPv6 socket (::ffff:…) stays whole. */
const networkOf = (address: string): string => address.includes(':') && !address.startsWith('0000:') ? address.slice(0, 19) : address

const countConnections = (app: UwsApp, rest: Rest, gate: Gate): void => {
  const { counters, limits } = rest
  app.filter((res, change) => {
    gate.connections += change
    counters.connections += change
    if (change < 0) { gate.known.closed(res); return } // `res` is dead then: even its address must not be asked for.
    gate.known.opened(res)
    counters.accepted++
    const tooMany = counters.connections > limits.connections
    if (!tooMany && !rest.connectionBuckets.on) return
    const address = Buffer.from(res.getRemoteAddressAsText()).toString('latin1')
    if (!tooMany && rest.connectionBuckets.take(networkOf(address), 1, rest.clock.monoMs()) === 0) return
    counters.refused(tooMany ? 'too-many' : 'too-fast')
    rest.events.tell('connection.refused', address, () => ({ cause: tooMany ? 'too many connections' : 'too many new connections' }))
    res.close()
  })
}
