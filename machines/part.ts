/**
 * What every machine under the root supervisor has in common: it takes `stop`, it ends by finishing with a
 * PartOutput (never by throwing), and it tells the edges of its alerts as emitted events.
 */
import type { Severity } from '../src/kernel/log.js'

/** Asks a part to end in good order. It finishes when that is done. */
export interface StopEvent { type: 'stop' }

/** How a part ended. `failed` makes its supervisor try again; `code` is a KmeErrorCode where there is one, else ''. */
export interface PartOutput { readonly failed: boolean, readonly code: string, readonly reason: string }

export const endedWell: PartOutput = { failed: false, code: '', reason: '' }

/**
 * A thrown value as a part's end. Errors of ours carry no key bytes, so their text is kept (cut at 300 characters);
 * anything else is named by its type only. `fallbackCode` stands where the error has no code.
 */
export const failedBy = (thrown: unknown, fallbackCode = ''): PartOutput => thrown instanceof Error
  ? { failed: true, code: 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : fallbackCode, reason: thrown.message.slice(0, 300) }
  : { failed: true, code: fallbackCode, reason: `threw a value of type ${typeof thrown}` }

/**
 * An edge of a condition that an operator must know: it began (`active`) or ended. `alert` names the kind, `subject` the
 * thing. Telling the end of a condition that never began is harmless.
 */
export interface AlertEdge {
  type: 'alert'
  readonly alert: string
  readonly subject: string
  readonly severity: Severity
  readonly active: boolean
  readonly message: string
}

export const alertBegins = (alert: string, subject: string, severity: Severity, message: string): AlertEdge =>
  ({ type: 'alert', alert, subject, severity, active: true, message })

export const alertEnds = (alert: string, subject: string): AlertEdge =>
  ({ type: 'alert', alert, subject, severity: 'info', active: false, message: '' })

/** Something that matters to security and has no end: the runtime writes it as a security event. */
export interface SecurityEdge {
  type: 'security'
  readonly event: string
  readonly subject: string
  readonly severity: Severity
  readonly detail: string
}

/** The default of an actor contract: the runtime must replace it with `.provide()`. */
export const notProvided = (what: string) => (): never => { throw new Error(`actor not provided: ${what}`) }

/** Doubling delay with a cap: `minMs` at attempt 1. */
export const backoffMs = (p: { readonly minMs: number, readonly maxMs: number }, attempt: number): number =>
  Math.min(p.maxMs, p.minMs * 2 ** Math.min(30, Math.max(0, attempt - 1)))
