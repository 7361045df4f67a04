import type { Severity } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { AlertView } from './port.js'

/** An edge of a condition, as the machines tell it (machines/part.ts has the same form). */
export interface AlertChange {
  readonly alert: string, readonly subject: string, readonly severity: Severity, readonly active: boolean, readonly message: string
}

interface Entry { alert: string, subject: string, severity: Severity, message: string, active: boolean, sinceMs: number, clearedMs: number | null, count: number }

/** More alerts than anybody reads. Beyond it the longest cleared go first, then the longest active. */
const ALERTS_MAX = 1_000

const keyOf = (alert: string, subject: string): string => `${alert}\n${subject}`
const iso = (ms: number): string => new Date(ms).toISOString()

/**
 * The alerts of this KME, active and past, at most 1,000. One entry per kind and subject: an alert that begins again
 * counts up. Edges are passed on to senders; an alert that is told twice is passed on once.
 */
export class AlertList {
  readonly #entries = new Map<string, Entry>()
  readonly #listeners: ((view: AlertView) => void)[] = []
  #dropped = 0

  constructor (private readonly clock: Clock) {}

  /** Takes an edge. The end of what never began does nothing. */
  take (change: AlertChange): void {
    const key = keyOf(change.alert, change.subject)
    const entry = this.#entries.get(key)
    if (change.active) this.#begin(key, entry, change)
    else if (entry?.active === true) this.#end(key, entry)
  }

  /** `listener` gets each alert that begins or ends; it must not throw. */
  onEdge (listener: (view: AlertView) => void): void { this.#listeners.push(listener) }

  get activeCount (): number { return [...this.#entries.values()].filter((e) => e.active).length }
  /** Active alerts that were dropped because there were too many. */
  get dropped (): number { return this.#dropped }

  /** Active ones first, each part by the time of its last edge, the newest first. */
  list (): AlertView[] {
    const lastMs = (e: Entry): number => e.clearedMs ?? e.sinceMs
    return [...this.#entries.values()]
      .sort((a, b) => Number(b.active) - Number(a.active) || lastMs(b) - lastMs(a))
      .map(viewOf)
  }

  #begin (key: string, entry: Entry | undefined, { alert, subject, severity, message }: AlertChange): void {
    if (entry?.active === true) {
      const isWorse = entry.severity !== severity
      Object.assign(entry, { message, severity })
      if (isWorse) this.#tell(entry)
      return
    }
    const begun: Entry = { alert, subject, severity, message, active: true, sinceMs: this.clock.wallMs(), clearedMs: null, count: (entry?.count ?? 0) + 1 }
    this.#entries.delete(key) // Last in the order of insertion: the longest untouched are dropped first.
    this.#entries.set(key, begun)
    this.#trim()
    this.#tell(begun)
  }

  #end (key: string, entry: Entry): void {
    Object.assign(entry, { active: false, clearedMs: this.clock.wallMs() })
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    this.#tell(entry)
  }

  #trim (): void {
    if (this.#entries.size <= ALERTS_MAX) return
    for (const [key, entry] of this.#entries) if (!entry.active) { this.#entries.delete(key); return }
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
    this.#dropped += 1
  }

  #tell (entry: Entry): void {
    const view = viewOf(entry)
    for (const listener of this.#listeners) listener(view)
  }
}

const viewOf = (e: Entry): AlertView => ({
  id: e.alert, subject: e.subject, severity: e.severity, message: e.message, active: e.active,
  since: iso(e.sinceMs), clearedAt: e.clearedMs === null ? null : iso(e.clearedMs), count: e.count,
})
