import { createActor, type Actor } from 'xstate'
import type { AlertEdge, SecurityEdge } from '../../machines/part.js'
import { sessionMachine, sessionLimits, type SessionEvent, type SessionLimits } from '../../machines/session.js'
import type { SaeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { machineClock, type MachineClock } from './xstate-clock.js'

/** What the request path needs to know; src/http/rest.ts asks on each request. */
export type SessionAnswer = 'active' | 'throttled' | 'suspended' | 'revoked' | 'unregistered'

/** A registered SAE. `issuer` is the subject of the CA that vouches for it, '' for any CA of SAEs. */
export interface Registered { readonly id: SaeId, readonly issuer: string, readonly suspended: boolean }

export interface SessionsOptions {
  readonly clock: Clock
  readonly alert: (edge: AlertEdge) => void
  readonly security: (edge: SecurityEdge) => void
  readonly limits?: SessionLimits
}

type SessionActor = Actor<typeof sessionMachine>

interface Entry {
  issuer: string
  suspended: boolean
  /** Copy of what the machine's state answers, so that a request reads one field. */
  answer: SessionAnswer
  /** A request came since the machine last looked. */
  isSeen: boolean
  actor: SessionActor | undefined
}

const answers: Readonly<Record<string, SessionAnswer>> = { known: 'active', active: 'active', throttled: 'throttled', suspended: 'suspended', revoked: 'revoked' }

/**
 * All SAEs registered here, each with a session machine that is started at the first thing that happens and given up
 * when it is quiet again: 10,000 registered SAEs cost as much as those that are at work.
 */
export class SessionRegistry {
  readonly #entries = new Map<SaeId, Entry>()
  readonly #clock: MachineClock

  constructor (private readonly options: SessionsOptions) { this.#clock = machineClock(options.clock) }

  /** Adds an SAE, or takes over what has changed of it. */
  register (sae: Registered): void {
    const entry = this.#entries.get(sae.id)
    if (entry === undefined) {
      this.#entries.set(sae.id, { issuer: sae.issuer, suspended: sae.suspended, answer: sae.suspended ? 'suspended' : 'active', isSeen: false, actor: undefined })
      return
    }
    entry.issuer = sae.issuer
    if (entry.suspended !== sae.suspended) this.tell(sae.id, sae.suspended ? { type: 'session.suspend', by: 'registry' } : { type: 'session.resume' })
  }

  /** The SAE is not known any more. */
  remove (id: SaeId): void {
    this.#entries.get(id)?.actor?.stop()
    this.#entries.delete(id)
  }

  get size (): number { return this.#entries.size }
  /** Machines that are running. */
  get running (): number { return [...this.#entries.values()].filter((e) => e.actor !== undefined).length }

  /** On each request: two look-ups, and the start of a machine after a quiet time. */
  state (id: SaeId, issuer: string): SessionAnswer {
    const entry = this.#entries.get(id)
    if (entry === undefined || (entry.issuer !== '' && entry.issuer !== issuer)) return 'unregistered'
    if (!entry.isSeen && entry.answer === 'active') {
      entry.isSeen = true
      if (entry.actor === undefined) {
        this.#start(id, entry).send({ type: 'session.request' })
        entry.isSeen = false // This one was told; the next is what keeps it active.
      }
    }
    return entry.answer
  }

  /** The machine's own word for the state, for operators. */
  stateName (id: SaeId): string {
    const entry = this.#entries.get(id)
    if (entry === undefined) return 'unregistered'
    return entry.actor === undefined ? (entry.suspended ? 'suspended' : 'known') : String(entry.actor.getSnapshot().value)
  }

  /** Something happened to an SAE. Unknown ones are ignored: they may just have been removed. */
  tell (id: SaeId, event: SessionEvent): void {
    const entry = this.#entries.get(id)
    if (entry !== undefined) (entry.actor ?? this.#start(id, entry)).send(event)
  }

  /** Ends all machines. */
  stop (): void {
    for (const entry of this.#entries.values()) { entry.actor?.stop(); entry.actor = undefined }
  }

  #start (id: SaeId, entry: Entry): SessionActor {
    const actor = createActor(sessionMachine, {
      clock: this.#clock, input: { sae: id, limits: this.options.limits ?? sessionLimits },
    })
    actor.on('alert', (edge) => { this.options.alert(edge) })
    // A suspension that the registry knew already was told when it began.
    let isStarted = false
    actor.on('security', (edge) => { if (isStarted) this.options.security(edge) })
    actor.subscribe(({ value, context }) => { if (isStarted) this.#moved(entry, actor, String(value), context.suspended, context.violations) })
    entry.actor = actor
    const isSuspended = entry.suspended
    actor.start()
    if (isSuspended) actor.send({ type: 'session.suspend', by: 'registry' })
    isStarted = true
    return actor
  }

  #moved (entry: Entry, actor: SessionActor, state: string, suspended: boolean, violations: number): void {
    entry.answer = answers[state] ?? 'revoked'
    entry.suspended = suspended
    if (state !== 'known') return
    if (entry.isSeen) {
      // Requests came while the machine was active: it only did not hear of each.
      entry.isSeen = false
      actor.send({ type: 'session.request' })
    } else if (violations === 0) {
      entry.actor = undefined
      actor.stop()
    }
  }
}
