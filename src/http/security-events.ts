import type { Log, SecurityCategory, Severity } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import type { HttpCounters } from './counters.js'
import { TokenBuckets } from './token-bucket.js'

/** Events of one kind per second; more are counted, not written, so that a flood of bad requests costs no log. */
const EVENTS_PER_S = 20

interface EventKind { readonly category: SecurityCategory, readonly severity: Severity }

const kinds = {
  'authentication.failed': { category: 'authentication', severity: 'medium' },
  'authorisation.denied': { category: 'authorisation', severity: 'medium' },
  'request.malformed': { category: 'key-access', severity: 'low' },
  'request.throttled': { category: 'key-access', severity: 'low' },
  'delivery.aborted': { category: 'key-access', severity: 'medium' },
  'connection.refused': { category: 'authentication', severity: 'low' },
} satisfies Record<string, EventKind>

export type SecurityEventName = keyof typeof kinds

/** Writes security events of the REST side, at a bounded rate. Never on the path of a good answer. */
export class SecurityEvents {
  readonly #rate = new TokenBuckets({ perS: EVENTS_PER_S, burst: EVENTS_PER_S }, Object.keys(kinds).length)

  constructor (private readonly log: Log, private readonly clock: Clock, private readonly counters: HttpCounters) {}

  /**
   * @param subject  The SAE if it is known, else the address.
   * @param fields   Made only if the event is written.
   */
  tell (event: SecurityEventName, subject: string, fields: () => Record<string, string | number>): void {
    if (this.#rate.take(event, 1, this.clock.monoMs()) > 0) {
      this.counters.eventsHeldBack++
      return
    }
    this.log.security({ ...kinds[event], event, subject, outcome: event === 'delivery.aborted' ? 'detected' : 'refused', fields: fields() })
  }
}
