import { KmeError } from '../kernel/errors.js'

/**
 * Why a connection between two KMEs ended, and the WebSocket close code that says so to the other side (RFC 6455,
 * clause 7.4; 4000 to 4999 are for private use). Codes never change once released; docs/peer-protocol.md explains each.
 */
export const closeCodes = {
  // nobody's fault
  closed: 1000, stopped: 1001, network: 1006, internal: 1011,
  replaced: 4000, stale: 4001, 'hello-timeout': 4002, idle: 4003, 'connect-failed': 4004, 'connect-timeout': 4005,
  // the other side broke the protocol
  version: 4010, malformed: 4011, 'unknown-message': 4012, replayed: 4013, gap: 4014, incarnation: 4015,
  direction: 4016, address: 4017, 'not-routable': 4018, tag: 4019, pad: 4020, body: 4021, schema: 4022,
  order: 4023, refused: 4024,
  // the other side is not who it must be
  certificate: 4030, 'not-a-peer': 4031,
} as const

export type CloseReason = keyof typeof closeCodes

const reasonsByCode = new Map<number, CloseReason>(
  Object.entries(closeCodes).map(([reason, code]) => [code, reason as CloseReason]))

/** What a close code of the other side means; 'network' for every code that is not ours. */
export const reasonOfCode = (code: number): CloseReason => reasonsByCode.get(code) ?? 'network'

/** Reasons that no honest peer gives rise to: each is a security event. A wrong schema is a fault, not an attack. */
export const securityReasons: ReadonlySet<CloseReason> = new Set<CloseReason>([
  'replayed', 'direction', 'address', 'tag', 'pad', 'certificate', 'not-a-peer',
])

/**
 * A frame or a connection that is refused, with the reason that is counted and sent as close code. Code `TAG_INVALID` for
 * what fails authentication, `CERTIFICATE_INVALID` for what fails identification, `PROTOCOL` for all else.
 */
export class Refusal extends KmeError {
  constructor (readonly reason: CloseReason, message: string, opts?: ErrorOptions) {
    super(reason === 'tag' || reason === 'pad' ? 'TAG_INVALID' : reason === 'certificate' || reason === 'not-a-peer' ? 'CERTIFICATE_INVALID' : 'PROTOCOL', message, opts)
  }
}

/** Puts an error thrown by a handler into words: its own reason, or 'refused'. Undefined for what is not a refusal but a bug. */
export const refusalOf = (error: unknown): Refusal | undefined => {
  if (error instanceof Refusal) return error
  if (!(error instanceof KmeError)) return undefined
  if (error.code === 'PROTOCOL') return new Refusal('refused', error.message, { cause: error })
  if (error.code === 'TAG_INVALID') return new Refusal('tag', error.message, { cause: error })
  return undefined
}

/** A WebSocket close reason holds at most 123 bytes of UTF-8: longer text is cut, other characters than ASCII become '?'. */
export const closeText = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 123)
