import { alertBegins, alertEnds, type AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import { readCertificates } from '../crypto/pem.js'
import type { TrustStore } from '../crypto/trust.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { TrustStores } from './trust-stores.js'

const DAY_MS = 86_400_000
const CHECK_MS = 3_600_000

interface Dated { readonly subject: string, readonly notAfterMs: number, readonly warnDays: number }

/**
 * Alerts before anything expires that would close a door: our own certificates, the CAs, and the revocation lists, each with
 * its `expiryWarnDays`. Looked at each hour; ends when it was renewed.
 */
export const watchExpiry = (config: Config, stores: TrustStores, clock: Clock, alert: (edge: AlertEdge) => void): Cancel => {
  let cancel: Cancel = () => {}
  const look = (): void => {
    for (const { subject, notAfterMs, warnDays } of everything(config, stores)) {
      const days = Math.floor((notAfterMs - clock.wallMs()) / DAY_MS)
      if (days >= warnDays) alert(alertEnds('certificate.expires', subject))
      else alert(alertBegins('certificate.expires', subject, days < 1 ? 'critical' : 'high', days < 0 ? `${subject} has expired` : `${subject} expires in ${days} days`))
    }
    cancel = clock.after(CHECK_MS, look)
  }
  look()
  return () => { cancel() }
}

const everything = (config: Config, stores: TrustStores): Dated[] => [
  ...door('rest', config.rest.tls, stores.saes), ...door('peering', config.peering.tls, stores.kmes), ...door('admin', config.admin.https?.tls, stores.operators),
]

const door = (name: string, tls: { readonly certificate: string, readonly expiryWarnDays: number } | undefined, store: TrustStore | undefined): Dated[] => {
  if (tls === undefined) return []
  const warnDays = tls.expiryWarnDays
  const own = ownCertificate(tls.certificate)
  return [
    ...(own === undefined ? [] : [{ subject: `certificate of ${name}`, notAfterMs: own, warnDays }]),
    ...(store?.authorities() ?? []).flatMap(({ subject, notAfterMs, crlNextUpdateMs }) => [
      { subject: `CA ${subject} of ${name}`, notAfterMs, warnDays },
      // A list is renewed often: it is late when a day is left.
      ...(crlNextUpdateMs === undefined ? [] : [{ subject: `revocation list of ${subject} of ${name}`, notAfterMs: crlNextUpdateMs, warnDays: 1 }]),
    ]),
  ]
}

/** A file that cannot be read now was told by whoever uses it. */
const ownCertificate = (path: string): number | undefined => {
  try {
    return readCertificates(path)[0]?.parsed.notAfter.getTime()
  } catch {
    return undefined
  }
}
