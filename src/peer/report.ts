import type { KmeId } from '../kernel/ids.js'
import type { Log, SecurityCategory, Severity } from '../kernel/log.js'
import { securityReasons, type CloseReason } from './refusal.js'

/** Who found a reason to end a connection. */
export type EndedBy = 'us' | 'peer'

const severityOf = (reason: CloseReason): Severity =>
  reason === 'tag' || reason === 'pad' || reason === 'replayed' ? 'critical' : reason === 'certificate' || reason === 'not-a-peer' ? 'medium' : 'high'

const categoryOf = (reason: CloseReason): SecurityCategory =>
  reason === 'certificate' ? 'certificate' : reason === 'not-a-peer' ? 'authentication' : 'peer'

/**
 * Writes the end of a connection or of an attempt to the log; one that an honest peer cannot bring about is a security event.
 *
 * @param subject The peer, or whoever called.
 * @param text What happened, without key bytes and without a peer's own words.
 */
export const reportEnd = (log: Log, subject: KmeId, reason: CloseReason, text: string, by: EndedBy): void => {
  const fields = { reason, by, detail: text }
  if (securityReasons.has(reason)) {
    log.security({
      category: categoryOf(reason), severity: severityOf(reason), event: `peer.${reason}`, subject,
      outcome: by === 'us' ? 'refused' : 'detected', fields,
    })
  } else log.info('peer connection ended', { peer: subject, ...fields })
}
