import { alertBegins, alertEnds, type AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { Kv } from '../store/kv.js'
import { addSae, listSaes, NOTE_MAX } from '../store/saes.js'

export interface RegistrationDeps {
  readonly policy: Config['policy']['unregistered']
  readonly clock: Clock
  readonly log: Log
  readonly kv: () => Kv
  readonly alert: (edge: AlertEdge) => void
  /** Another KME that is known to serve an SAE; undefined: none. */
  readonly elsewhere: (id: SaeId) => KmeId | undefined
  /** Registers an SAE; it is known when this returns, and on disk when the promise resolves. */
  readonly register: (id: SaeId, name: string) => Promise<unknown>
}

/** Requests that wait for an operator; beyond, who asks is refused and not noted. */
export const REQUESTS_MAX = 1_000

/**
 * What becomes of an SAE that shows a valid certificate and is not registered (`policy.unregistered`): it is refused, registered at
 * once, or refused and noted as a request, which an operator approves, suspends or removes. A request is a row of the registry, kept over restarts.
 * An SAE of another KME is refused in any case: registered here, too, it would take its own keys out of every other SAE's reach.
 */
export class Registration {
  private readonly requested = new Set<SaeId>()
  private isFullTold = false

  constructor (private readonly d: RegistrationDeps) {}

  /** The store is open. */
  start (): void {
    this.requested.clear()
    for (const { id, status } of listSaes(this.d.kv())) if (status === 'requested') this.requested.add(id)
    this.tell()
  }

  /** It asked for something and was not known. @param issuer Subject of the CA of its certificate. @returns whether it is registered now. */
  asked (id: SaeId, issuer: string): boolean {
    const { d } = this
    if (d.policy === 'refuse' || d.elsewhere(id) !== undefined) return false
    if (d.policy === 'register') {
      d.register(id, 'registered at its first request').then(
        () => { d.log.security({ category: 'authentication', severity: 'low', event: 'sae.registered', subject: id, outcome: 'allowed', fields: { issuer } }) },
        (error: unknown) => { d.log.warn('an SAE could not be registered', { sae: id, error }) })
      return true
    }
    if (!this.requested.has(id)) this.note(id, issuer)
    return false
  }

  private note (id: SaeId, issuer: string): void {
    const { d, requested } = this
    if (requested.size >= REQUESTS_MAX) {
      if (!this.isFullTold) d.log.warn(`${REQUESTS_MAX} SAEs ask to be registered: no more are noted before an operator has looked at them (qkme sae list)`)
      this.isFullTold = true
      return
    }
    requested.add(id)
    addSae(d.kv(), { id, status: 'requested', createdMs: d.clock.wallMs(), note: `certificate of ${issuer}`.slice(0, NOTE_MAX) }).then(() => {
      d.log.security({ category: 'authentication', severity: 'medium', event: 'sae.requested', subject: id, outcome: 'refused', fields: { issuer } })
      this.tell()
    }, (error: unknown) => { // Nothing is told before it is on disk: while the disk is full this comes at each of its calls.
      requested.delete(id)
      d.log.warn('the request of an SAE could not be noted', { sae: id, error })
    })
  }

  /** An operator has decided. */
  settled (id: SaeId): void {
    if (!this.requested.delete(id)) return
    this.isFullTold = false
    this.tell()
  }

  private tell (): void {
    if (this.requested.size === 0) this.d.alert(alertEnds('sae.requested', 'registry')) // All requests are one alert.
    else this.d.alert(alertBegins('sae.requested', 'registry', 'low', 'SAEs with a valid certificate ask to be registered: qkme sae list, then qkme sae approve, suspend or remove'))
  }
}
