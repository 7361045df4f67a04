import type { Cancel, Clock } from '../kernel/time.js'
import { Channel, type ChannelOptions } from './channel.js'
import { Keepalive } from './keepalive.js'
import type { PeerLimits } from './limits.js'
import type { CloseReason } from './refusal.js'
import type { TransportEvents } from './transport.js'

export interface ConnectionOptions extends Omit<ChannelOptions, 'sendQueueBytesMax'> {
  readonly clock: Clock
  readonly limits: PeerLimits
}

/**
 * A channel with its timers: hello in time, signs of life, and a certificate that still holds. It is what a transport talks
 * to. Call `start` once the transport may send.
 */
export class Connection implements TransportEvents {
  readonly channel: Channel
  readonly #keepalive: Keepalive
  readonly #timers = new Map<'hello' | 'recheck', Cancel>()

  constructor (private readonly options: ConnectionOptions) {
    const { clock, limits, link } = options
    this.channel = new Channel({
      ...options,
      sendQueueBytesMax: limits.sendQueueBytesMax,
      progress: (step) => {
        this.#cancel('hello')
        options.progress(step)
      },
      ended: (reason, text, by) => {
        this.#stopTimers()
        options.ended(reason, text, by)
      },
    })
    this.#keepalive = new Keepalive(clock, limits, {
      get bufferedBytes () { return link.transport.bufferedBytes },
      ping: () => { link.transport.ping() },
      dead: (why) => { this.channel.end('idle', why) },
    })
    this.#timers.set('hello', clock.after(limits.helloTimeoutMs, () => { this.channel.end('hello-timeout', `no hello within ${limits.helloTimeoutMs} ms`) }))
    this.#timers.set('recheck', clock.after(limits.recheckMs, this.recheck))
  }

  start (): void { this.channel.start() }

  frame (bytes: Uint8Array): void {
    this.#keepalive.heard()
    this.channel.receive(bytes)
  }

  heard (): void { this.#keepalive.heard() }

  drained (): void {
    this.#keepalive.moved()
    this.channel.drained()
  }

  closed (reason: CloseReason, text: string): void { this.channel.transportClosed(reason, text) }

  /** Looks at the peer's certificate: at intervals, and at once when trust has changed. */
  readonly recheck = (): void => {
    const why = this.options.link.recheck()
    if (why !== '') { this.channel.end('certificate', why); return }
    this.#cancel('recheck')
    this.#timers.set('recheck', this.options.clock.after(this.options.limits.recheckMs, this.recheck))
  }

  #cancel (name: 'hello' | 'recheck'): void {
    this.#timers.get(name)?.()
    this.#timers.delete(name)
  }

  #stopTimers (): void {
    this.#keepalive.stop()
    this.#cancel('hello')
    this.#cancel('recheck')
  }
}
