import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { refused, validatePath, type PathInput, type Refused } from './chain.js'
import { digestOfFiles, loadCrls, type Crl } from './crl.js'
import { extendedUsages, identityOf, type IdentityRule } from './identity.js'
import { OcspBook, type OcspListener, type OcspOptions } from './ocsp-book.js'
import { parseCertificate, readCertificates, type Certificate } from './pem.js'
import { normalSerial, oid } from './x509.js'

export interface TrustOptions {
  /** PEM file with the CA certificates: every root and every intermediate between it and the leaves. */
  readonly caFile: string
  readonly crlFiles: readonly string[]
  /** true: a CA without a list that is in force closes. */
  readonly crlRequired: boolean
  /** Asks responders about leaves, beside the lists; undefined: off. */
  readonly ocsp?: OcspOptions & { readonly random: Random }
  readonly identity: IdentityRule
  /** Extended key usages that a certificate must name, all of them. */
  readonly usages: readonly ('clientAuth' | 'serverAuth')[]
  /** SHA-256 fingerprints (hex, upper case, with colons) allowed for an ID; undefined: any certificate of the CA. */
  readonly pins?: (id: string) => readonly string[] | undefined
}

/** A certificate that is accepted now. Cache it by PEM while `generation` is unmoved and the wall clock below `validUntilMs`. */
export interface Accepted {
  readonly ok: true
  /** SAE ID, KME ID or operator name, by the identity rule. */
  readonly id: string
  /** Subject of the issuing CA: the registry binds issuer and ID. */
  readonly issuer: string
  readonly serialHex: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The earliest of notAfter along the path and nextUpdate of the CRLs used: after it, ask again. */
  readonly validUntilMs: number
  /** SHA-256 of the DER, hex, upper case, with colons. */
  readonly fingerprint: string
  readonly generation: number
}

export interface AuthorityState { readonly subject: string, readonly notAfterMs: number, readonly crlNextUpdateMs: number | undefined }

export interface TrustStore {
  /** Moves at every change of a CA or CRL file and at every `changed()`; never goes back. */
  readonly generation: number
  /** Validates chain, dates, usage, revocation, identity and pin of a client's PEM ('' when it sent none). Does not throw. Costs a parsing and a signature (measured: 5 ms of a busy core): cache it. */
  check (pem: string): Accepted | Refused
  /** Something outside decides otherwise from now on (registry, policy): cached answers are void. */
  changed (): void
  /**
   * Reads CA and CRL files again if their contents changed.
   * @returns whether anything changed.
   * @throws KmeError `CERTIFICATE_INVALID`; what was in force stays in force (a CRL until its nextUpdate, then closed).
   */
  reload (): Promise<boolean>
  /** Calls `reload` every `intervalMs` and tells the outcome; an error is told on every attempt that fails. */
  watch (intervalMs: number, onOutcome: (outcome: { changed: boolean, error?: KmeError }) => void): Cancel
  /** Tells of OCSP responders that fail, and that a certificate was revoked by one (then `generation` has moved). One listener. */
  onOcsp (listener: OcspListener): void
  /** Asks no responder any more. */
  stop (): void
  /** What to warn about before it expires. */
  authorities (): AuthorityState[]
}

interface Loaded { readonly digest: string, readonly authorities: readonly Certificate[], readonly crls: ReadonlyMap<string, Crl> }

/**
 * Opens the trust anchors of one kind of caller: SAEs, neighbouring KMEs or operators. Each kind has a store of its own,
 * so that an SAE's certificate never opens the peer port nor a KME's the key delivery.
 *
 * @throws KmeError `CERTIFICATE_INVALID` naming the file.
 */
export const openTrustStore = async (options: TrustOptions, clock: Clock): Promise<TrustStore> => {
  let loaded = await load(options, undefined)
  let generation = 1
  const ocsp = options.ocsp === undefined ? undefined : new OcspBook(options.ocsp, clock, options.ocsp.random)
  const reload = async (): Promise<boolean> => {
    if (digestOfFiles([options.caFile, ...options.crlFiles]) === loaded.digest) return false
    loaded = await load(options, loaded)
    generation++
    return true
  }
  return {
    get generation () { return generation },
    check: (pem) => check(pem, options, { ...loaded, crlRequired: options.crlRequired, nowMs: clock.wallMs() }, ocsp, generation),
    changed: () => { generation++ },
    reload,
    watch: (intervalMs, onOutcome) => watch(clock, intervalMs, reload, onOutcome),
    onOcsp: (listener) => { ocsp?.listen({ ...listener, revoked: () => { generation++; listener.revoked() } }) },
    stop: () => { ocsp?.stop() },
    authorities: () => loaded.authorities.map((ca) => ({
      subject: ca.parsed.subject,
      notAfterMs: ca.parsed.notAfter.getTime(),
      crlNextUpdateMs: loaded.crls.get(ca.node.fingerprint256)?.nextUpdateMs,
    })),
  }
}

const load = async (options: TrustOptions, before: Loaded | undefined): Promise<Loaded> => {
  // The digest comes first: a file that changes while it is read is read again next time.
  const digest = digestOfFiles([options.caFile, ...options.crlFiles])
  const authorities = readCertificates(options.caFile)
  const crls = new Map<string, Crl>()
  for (const crl of await loadCrls(options.crlFiles, authorities)) {
    const known = crls.get(crl.issuerFingerprint)
    if (known === undefined || crl.thisUpdateMs > known.thisUpdateMs) crls.set(crl.issuerFingerprint, crl)
  }
  for (const [issuer, crl] of crls) refuseRollback(crl, before?.crls.get(issuer))
  return { digest, authorities, crls }
}

const refuseRollback = (crl: Crl, before: Crl | undefined): void => {
  if (before === undefined) return
  const older = crl.number !== undefined && before.number !== undefined ? crl.number < before.number : crl.thisUpdateMs < before.thisUpdateMs
  if (older) throw new KmeError('CERTIFICATE_INVALID', `CRL file ${crl.file} is older than the list in force; certificates revoked since would become valid again`)
}

const check = (pem: string, options: TrustOptions, input: PathInput, ocsp: OcspBook | undefined, generation: number): Accepted | Refused => {
  if (pem === '') return refused('missing', 'no client certificate was sent')
  let certificate: Certificate
  try {
    certificate = parseCertificate(pem)
    return judge(certificate, options, input, ocsp, generation)
  } catch (error) {
    return refused('malformed', (error as Error).message) // The DER of a stranger: any fault of it is his.
  }
}

const judge = (certificate: Certificate, options: TrustOptions, input: PathInput, ocsp: OcspBook | undefined, generation: number): Accepted | Refused => {
  const path = validatePath(certificate, input)
  if (!path.ok) return path
  const usages = extendedUsages(certificate.parsed)
  const lacking = options.usages.filter((usage) => usages?.includes(oid[usage]) !== true)
  if (lacking.length > 0) return refused('usage', `the certificate lacks the extended key usage ${lacking.join(' and ')}`)
  const identity = identityOf(certificate.parsed, options.identity)
  if (!identity.ok) return refused('identity', identity.message)
  const fingerprint = certificate.node.fingerprint256
  const pins = options.pins?.(identity.id)
  if (pins !== undefined && !pins.includes(fingerprint)) return refused('pin', `the certificate of ${identity.id} is not one of those pinned for it`)
  // Last: nobody is asked about a certificate that is refused anyhow.
  const asked = ocsp?.check(certificate, path.issuer, input.crls.get(path.issuer.node.fingerprint256)?.revoked ?? new Set())
  if (asked?.ok === false) return asked
  return {
    ok: true, id: identity.id, issuer: path.issuer.parsed.subject, serialHex: normalSerial(certificate.parsed.serialNumber),
    notBeforeMs: certificate.parsed.notBefore.getTime(), notAfterMs: certificate.parsed.notAfter.getTime(),
    validUntilMs: Math.min(path.validUntilMs, asked?.validUntilMs ?? Number.POSITIVE_INFINITY), fingerprint, generation,
  }
}

const watch = (
  clock: Clock, intervalMs: number, reload: () => Promise<boolean>,
  onOutcome: (outcome: { changed: boolean, error?: KmeError }) => void,
): Cancel => {
  let cancelled = false
  let cancel: Cancel
  const next = (): void => {
    cancel = clock.after(intervalMs, () => {
      reload().then(
        (changed) => { onOutcome({ changed }) },
        (error: unknown) => { onOutcome({ changed: false, error: asKmeError(error) }) },
      ).finally(() => { if (!cancelled) next() })
    })
  }
  next()
  return () => { cancelled = true; cancel() }
}

const asKmeError = (error: unknown): KmeError => error instanceof KmeError
  ? error
  : new KmeError('CERTIFICATE_INVALID', `certificates could not be read again: ${(error as Error).message}`, { cause: error })
