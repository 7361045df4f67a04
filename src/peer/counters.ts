import { messages, type MessageName } from './messages.js'
import type { CloseReason } from './refusal.js'

/** What happened with one peer since the process started, over all its connections. Read at scrape, never reset. */
export interface PeerCounters {
  readonly sent: Record<MessageName, number>
  readonly received: Record<MessageName, number>
  sentBytes: number
  receivedBytes: number
  /** Messages that were not sent, by the answer that `send` gave. */
  readonly unsent: Record<'closed' | 'full' | 'no-pad', number>
  /** Pads and hash keys taken from our reserve, 16 bytes each. */
  padsUsed: number
  /** Connections that said hello both ways. */
  connections: number
  /** Connections ended, and attempts failed, by reason. */
  readonly ended: Partial<Record<CloseReason, number>>
}

export const createPeerCounters = (): PeerCounters => {
  const zeros = (): Record<MessageName, number> =>
    Object.fromEntries(Object.keys(messages).map((name) => [name, 0])) as Record<MessageName, number>
  return {
    sent: zeros(), received: zeros(), sentBytes: 0, receivedBytes: 0, unsent: { closed: 0, full: 0, 'no-pad': 0 },
    padsUsed: 0, connections: 0, ended: {},
  }
}

export const countEnd = (counters: PeerCounters, reason: CloseReason): void => {
  counters.ended[reason] = (counters.ended[reason] ?? 0) + 1
}
