import type { KmeId } from '../kernel/ids.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { Refusal } from './refusal.js'

/** What the rule looks at: which side dialled, and the incarnation that the peer said in its hello. */
export interface Rival { readonly role: 'dialler' | 'acceptor', readonly peersIncarnation: number }

/**
 * Two connections with one peer at once: which stays? Called when the newer one's hello is there. Returns normally if the
 * newer replaces the older.
 *
 * 1. The peer's incarnation is lower than on the older connection: the newer comes from a process that has ended. Refused.
 * 2. It is higher: the peer has started again, and the older connection is dead without knowing. Replaced.
 * 3. Equal, and the same side dialled both: it would not have dialled while it believed in the older. Replaced.
 * 4. Equal, and each side dialled one: they have crossed. Both keep the one that the KME with the lower ID dialled.
 *
 * In 4 both sides decide alike whatever the order in which the hellos came, so never do both connections end.
 *
 * @throws Refusal `stale` if the older one stays.
 */
export const decideCollision = (self: KmeId, remote: KmeId, older: Rival, newer: Rival): void => {
  if (newer.peersIncarnation < older.peersIncarnation) throw new Refusal('stale', `hello of incarnation ${newer.peersIncarnation} while ${older.peersIncarnation} is connected`)
  if (newer.peersIncarnation > older.peersIncarnation || newer.role === older.role) return
  const weAreLower = self < remote
  const newerByLower = (newer.role === 'dialler') === weAreLower
  if (!newerByLower) throw new Refusal('stale', 'both sides have dialled: the connection dialled by the KME with the lower ID stays')
}

/** A call of an ended process can come late, once: only its next one shows that it lives. */
const CALLS = 2
const QUIET_MS = 600_000

/**
 * Finds two living processes with one identity (a copy, a machine that was cloned, a failover without a fence): one of an earlier start goes on calling
 * while a later one is connected. It is refused anyway (rule 1); this tells that somebody must look, and that it is over after ten quiet minutes.
 */
export class SplitBrain {
  private calls = 0
  private cancel: Cancel = () => {}

  constructor (private readonly clock: Clock, private readonly tell: (isNow: boolean) => void) {}

  saw (older: Rival, newer: Rival): void {
    if (newer.peersIncarnation >= older.peersIncarnation) return
    this.calls++
    this.cancel()
    this.cancel = this.clock.after(QUIET_MS, () => {
      if (this.calls >= CALLS) this.tell(false)
      this.calls = 0
    })
    if (this.calls === CALLS) this.tell(true)
  }
}

/**
 * Who dials: the KME with the lower ID if it knows a URL, else the one that knows one. The higher cannot know what the lower
 * knows, so it dials only when nothing came for the grace time.
 */
export const dialRole = (self: KmeId, remote: KmeId, hasUrl: boolean): 'at-once' | 'after-grace' | 'never' =>
  !hasUrl ? 'never' : self < remote ? 'at-once' : 'after-grace'
