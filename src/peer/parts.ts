import type { MessageName } from './messages.js'
import type { PeerChannel, PeerHandler } from './ports.js'

/**
 * A subject of its own on a peer's channel, beside the pool: relay, routing, tunnels, hybrid exchanges. It gets the
 * messages that it names, and hears of the channel like the pool does.
 */
export interface PeerPart {
  readonly names: readonly MessageName[]
  /** A message of `names`, verified, its body valid. May throw KmeError `PROTOCOL` to end the connection. */
  onMessage (name: MessageName, body: unknown): void
  /** After the pool's own `onReady`. */
  onReady (channel: PeerChannel): void
  /** Follows each `onReady`, once. */
  onClosed (reason: string): void
  onWritable? (): void
}

/**
 * One handler out of a pool and the other parts that share its channel. Hellos and pads are the pool's. Give it to the peer
 * manager (`handlerFor`); make it once per peer and keep it.
 *
 * @throws Error if two parts name the same message: a bug.
 */
export const joinParts = (base: PeerHandler, parts: readonly PeerPart[]): PeerHandler => {
  const byName = new Map<MessageName, PeerPart>()
  for (const part of parts) {
    for (const name of part.names) {
      if (byName.has(name)) throw new Error(`invariant violated: message ${name} belongs to one part`)
      byName.set(name, part)
    }
  }
  const told = new Set<PeerPart>()
  let isOpen = false
  return {
    get pads () { return base.pads },
    hello: () => base.hello(),
    acknowledged: () => base.acknowledged?.(),
    onHello: (body, before) => { base.onHello(body, before) },
    onMessage: (name, body) => { (byName.get(name) ?? base).onMessage(name, body) },
    onReady: (channel) => {
      isOpen = true
      base.onReady(channel)
      for (const part of parts) {
        if (!isOpen) return // Somebody has ended the connection meanwhile.
        told.add(part)
        part.onReady(channel)
      }
    },
    onClosed: (reason) => {
      isOpen = false
      const parts = [...told]
      told.clear()
      base.onClosed(reason)
      for (const part of parts) part.onClosed(reason)
    },
    onWritable: () => {
      base.onWritable?.()
      for (const part of told) part.onWritable?.()
    },
  }
}
