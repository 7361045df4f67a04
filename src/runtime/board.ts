import type { AnyActorRef, InspectionEvent } from 'xstate'
import type { AlertEdge, SecurityEdge } from '../../machines/part.js'
import type { SupervisionEdge } from '../../machines/supervise.js'
import type { Log, SecurityCategory } from '../kernel/log.js'
import type { MetricSink } from '../kernel/metrics.js'
import type { Cancel } from '../kernel/time.js'

export interface PartState { readonly id: string, readonly state: string, readonly restarts: number }

/** Where the edges go that machines tell. */
export interface BoardSinks { readonly log: Log, readonly alert: (edge: AlertEdge) => void }

interface Entry { state: string, restarts: number, context: unknown, ref: AnyActorRef | undefined }

const categories: Readonly<Record<string, SecurityCategory>> = { link: 'device', pool: 'integrity', sae: 'authorisation', peer: 'peer' }

const stateText = (value: unknown): string => typeof value === 'string'
  ? value
  : Object.entries(value as Record<string, unknown>).map(([key, inner]) => `${key}.${stateText(inner)}`).join(' ')

/**
 * What every machine of an actor system is doing, by its system ID, and the one place where what they tell (alerts,
 * security events, restarts) leaves for the log and the alert list. Give `observe` to the root as `inspect`.
 */
export class PartBoard {
  readonly #entries = new Map<string, Entry>()
  readonly #watchers = new Map<string, Set<(state: string) => void>>()

  constructor (private readonly sinks: BoardSinks) {}

  readonly observe = (inspection: InspectionEvent): void => {
    if (inspection.type !== '@xstate.actor') return
    const ref = inspection.actorRef as AnyActorRef
    ref.on('*', (event) => { this.#told(event as AlertEdge | SecurityEdge | SupervisionEdge) })
    // Errors are the supervisor's business; without a listener here they would be reported as unhandled.
    ref.subscribe({ next: (snapshot: unknown) => { this.#moved(ref, snapshot) }, error: () => {} })
  }

  /** '' for a part that never started. */
  state (id: string): string { return this.#entries.get(id)?.state ?? '' }
  /** The machine's context as of now, for views. Typed by whoever knows the machine. */
  context (id: string): unknown { return this.#entries.get(id)?.context }
  list (): PartState[] { return [...this.#entries].map(([id, { state, restarts }]) => ({ id, state, restarts })) }

  /** A part that came by itself is gone for good. */
  forget (id: string): void { this.#entries.delete(id) }

  /** Sends to a part, if it is alive. @returns whether it is. */
  send (id: string, event: { readonly type: string }): boolean {
    const ref = this.#entries.get(id)?.ref
    if (ref === undefined || ref.getSnapshot().status !== 'active') return false
    ref.send(event)
    return true
  }

  /** Calls `fn` with the state now, and at every change, whatever life of the part it is in. */
  watch (id: string, fn: (state: string) => void): Cancel {
    const watchers = this.#watchers.get(id) ?? new Set()
    this.#watchers.set(id, watchers.add(fn))
    fn(this.state(id))
    return () => { watchers.delete(fn) }
  }

  /** @param more Parts of other boards. */
  registerMetrics (sink: MetricSink, more: () => readonly PartState[] = () => []): void {
    sink.register('qkme_part_state', 'State of each part: 1 for the state it is in.', 'gauge', () =>
      [...this.list(), ...more()].map(({ id, state }) => ({ labels: { part: id, state }, value: 1 })))
    sink.register('qkme_part_restarts_total', 'Restarts of each part by its supervisor.', 'counter', () =>
      [...this.list(), ...more()].map(({ id, restarts }) => ({ labels: { part: id }, value: restarts })))
  }

  #entry (id: string): Entry {
    const entry = this.#entries.get(id) ?? { state: '', restarts: 0, context: undefined, ref: undefined }
    this.#entries.set(id, entry)
    return entry
  }

  #moved (ref: AnyActorRef, snapshot: unknown): void {
    const id = (ref as { systemId?: string }).systemId
    const { value, context } = snapshot as { value?: unknown, context?: unknown }
    if (id === undefined || value === undefined) return
    const entry = this.#entry(id)
    const state = stateText(value)
    const before = entry.state
    Object.assign(entry, { context, ref, state })
    if (state === before) return
    this.sinks.log.info('part changed', { part: id, from: before, to: state })
    for (const watcher of this.#watchers.get(id) ?? []) watcher(state)
  }

  #told (event: AlertEdge | SecurityEdge | SupervisionEdge): void {
    if (event.type === 'alert') { this.sinks.alert(event); return }
    if (event.type === 'security') {
      const category = categories[event.event.split('.')[0] ?? ''] ?? 'integrity'
      this.sinks.log.security({ category, severity: event.severity, event: event.event, subject: event.subject, outcome: 'detected', fields: { detail: event.detail } })
      return
    }
    const { part, what, attempt, reason } = event
    if (what === 'restarting') this.#entry(part).restarts += 1
    const fields = { part, attempt, reason }
    if (what === 'gaveUp') this.sinks.log.error('part given up', fields)
    else if (what === 'cutOff') this.sinks.log.warn('part did not stop in time', fields)
    else this.sinks.log.warn('part restarts', fields)
  }
}
