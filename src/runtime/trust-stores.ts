import { alertBegins, alertEnds, type AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import { openTrustStore, type TrustStore } from '../crypto/trust.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'

/** Who may connect where. Three separate sets of anchors: an SAE's certificate opens nothing but key delivery. */
export interface TrustStores { readonly saes: TrustStore, readonly kmes: TrustStore | undefined, readonly operators: TrustStore | undefined }

const colons = (hex: string): string => hex.replaceAll(':', '').toUpperCase().match(/../g)?.join(':') ?? hex
const pinsOf = (entries: readonly { readonly id: string, readonly fingerprints: readonly string[] }[]) => {
  const pins = new Map(entries.filter((e) => e.fingerprints.length > 0).map((e) => [e.id, e.fingerprints.map(colons)]))
  return (id: string): readonly string[] | undefined => pins.get(id)
}

/** @throws KmeError `CERTIFICATE_INVALID` naming the file. */
export const openTrustStores = async (config: Config, clock: Clock, random: Random): Promise<TrustStores> => {
  const { rest, peering, admin } = config
  const files = (tls: Config['rest']['tls'] | NonNullable<Config['peering']['tls']>, keepsAll: boolean) => ({
    caFile: tls.ca, crlFiles: tls.crlFiles, crlRequired: tls.crlRequired,
    ...(tls.ocsp.mode === 'off' ? {} : { ocsp: { ...tls.ocsp, mode: tls.ocsp.mode as 'soft' | 'hard', url: tls.ocsp.url, keepsAll, random } }),
  })
  const saes = await openTrustStore({
    ...files(rest.tls, false), usages: ['clientAuth'], pins: pinsOf(config.saes),
    identity: rest.identity,
  }, clock)
  const kmes = peering.tls === undefined ? undefined : await openTrustStore({
    ...files(peering.tls, true), usages: ['clientAuth', 'serverAuth'], pins: pinsOf(config.peers.map((p) => ({ id: p.kme, fingerprints: p.fingerprints }))),
    identity: { uriPrefix: peering.uriPrefix, dns: false, cn: false },
  }, clock)
  const operators = admin.https === undefined ? undefined : await openTrustStore({
    ...files(admin.https.tls, false), usages: ['clientAuth'], pins: pinsOf(admin.roles.map((r) => ({ id: r.operator, fingerprints: r.fingerprints }))),
    identity: { uriPrefix: admin.https.uriPrefix, dns: false, cn: false },
  }, clock)
  return { saes, kmes, operators }
}

/** Looks at the files of CAs and CRLs from time to time; `onChange` runs after something changed. */
export const watchTrustStores = (stores: TrustStores, config: Config, log: Log, alert: (edge: AlertEdge) => void, onChange: () => void): Cancel => {
  const cancels: Cancel[] = []
  const watch = (name: string, store: TrustStore | undefined, intervalMs: number | undefined): void => {
    if (store === undefined || intervalMs === undefined) return
    store.onOcsp({
      responder: (url, error) => {
        const subject = `OCSP responder ${url} of ${name}`
        if (error === undefined) { alert(alertEnds('certificate.ocsp', subject)); return }
        log.security({ category: 'certificate', severity: 'high', event: 'trust.ocspFailed', subject, outcome: 'detected', fields: { reason: error } })
        alert(alertBegins('certificate.ocsp', subject, 'high', `${subject}: ${error}`))
      },
      revoked: () => { log.info('a certificate was revoked, says OCSP', { store: name }); onChange() },
    })
    cancels.push(() => { store.stop() })
    cancels.push(store.watch(intervalMs, ({ changed, error }) => {
      if (error !== undefined) log.security({ category: 'certificate', severity: 'high', event: 'trust.reloadFailed', subject: name, outcome: 'refused', fields: { reason: error.message } })
      else if (changed) { log.info('trust anchors changed', { store: name }); onChange() }
    }))
  }
  watch('saes', stores.saes, config.rest.tls.reloadMs)
  watch('kmes', stores.kmes, config.peering.tls?.reloadMs)
  watch('operators', stores.operators, config.admin.https?.tls.reloadMs)
  return () => { for (const cancel of cancels) cancel() }
}
