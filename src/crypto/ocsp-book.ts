import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { label, refused, type Refused } from './chain.js'
import { fetchOcsp } from './ocsp-fetch.js'
import { ocspRequest, readOcspResponse, type OcspAnswer } from './ocsp-message.js'
import type { Certificate } from './pem.js'
import { normalSerial, oid, x509 } from './x509.js'

export interface OcspOptions {
  /** soft: without an answer a certificate passes, and it is told; hard: it is refused. A revoked one is refused by both. */
  readonly mode: 'soft' | 'hard'
  /** Asked for all certificates; undefined: the responder that each certificate names (AIA). */
  readonly url: string | undefined
  readonly timeoutMs: number
  /** An answer holds for this time at most, and never beyond its nextUpdate. */
  readonly cacheMs: number
  readonly entriesMax: number
  /** Renew answers that nobody asked for since the last time: certificates of connections that stay open. */
  readonly keepsAll: boolean
}

/** What outside has to know; each is told once, at the change. */
export interface OcspListener {
  /** A responder stopped giving answers that count, or gives them again (`error` undefined). */
  responder (url: string, error: string | undefined): void
  /** A certificate that was good is not any more. */
  revoked (): void
}

interface Entry {
  readonly answer: OcspAnswer | undefined
  readonly error: string
  readonly untilMs: number
  asked: boolean
  cancel: Cancel
}

/** Requests under way at once; how long a failure stands before the responder is asked again. */
const FETCHES_MAX = 16, RETRY_MS = 5_000, NONCE_BYTES = 32
const noUrl = '(no responder is named)'

/**
 * What OCSP responders say of certificates. A question is answered at once from what is known; what is not known is fetched
 * meanwhile, and renewed at three quarters of its time. Bounded: entries, requests under way, sizes and times.
 */
export class OcspBook {
  private readonly entries = new Map<string, Entry>()
  private readonly fetching = new Set<string>()
  private readonly failing = new Set<string>()
  private listener: OcspListener | undefined
  private stopped = false

  constructor (private readonly o: OcspOptions, private readonly clock: Clock, private readonly random: Random) {}

  /** One listener; a responder that fails already is told at once. */
  listen (listener: OcspListener): void {
    this.listener = listener
    for (const url of this.failing) listener.responder(url, 'it gave no answer that counts')
  }

  /** No further requests. */
  stop (): void {
    this.stopped = true
    for (const entry of this.entries.values()) entry.cancel()
    this.entries.clear()
  }

  /**
   * @param certificate  A leaf whose path is valid: nothing is fetched for strangers.
   * @returns how long the answer holds, or why it is refused.
   */
  check (certificate: Certificate, issuer: Certificate, revoked: ReadonlySet<string>): { readonly ok: true, readonly validUntilMs: number } | Refused {
    const key = `${issuer.node.fingerprint256} ${normalSerial(certificate.parsed.serialNumber)}`
    const nowMs = this.clock.wallMs(), entry = this.entries.get(key)
    if (entry === undefined || nowMs >= entry.untilMs) {
      this.fetch(key, certificate, issuer, revoked)
      // What the last answer was counts no more, but for a revocation: it stands until a newer answer says otherwise.
      if (entry?.answer?.status === 'revoked') return this.revokedBy(certificate)
      return this.without(nowMs, refused('ocsp-pending', `the responder is being asked about ${label(certificate)}`))
    }
    entry.asked = true
    const { answer } = entry
    if (answer === undefined) return this.without(entry.untilMs, refused('ocsp-missing', `no answer of OCSP about ${label(certificate)}: ${entry.error}`))
    if (answer.status === 'good') return { ok: true, validUntilMs: entry.untilMs }
    if (answer.status === 'revoked') return this.revokedBy(certificate)
    return this.without(entry.untilMs, refused('ocsp-missing', `the OCSP responder does not know ${label(certificate)}`))
  }

  private revokedBy (certificate: Certificate): Refused { return refused('revoked', `${label(certificate)} is revoked, says the OCSP responder`) }

  /** A passing verdict is short: as soon as an answer is there it decides. */
  private without (untilMs: number, refusal: Refused): { readonly ok: true, readonly validUntilMs: number } | Refused {
    return this.o.mode === 'hard' ? refusal : { ok: true, validUntilMs: Math.min(untilMs, this.clock.wallMs() + RETRY_MS) }
  }

  private fetch (key: string, certificate: Certificate, issuer: Certificate, revoked: ReadonlySet<string>): void {
    if (this.stopped || this.fetching.has(key) || this.fetching.size >= FETCHES_MAX) return // Whoever asks again finds a place.
    this.fetching.add(key)
    const url = this.o.url ?? responderOf(certificate) ?? noUrl
    const done = (answer: OcspAnswer | undefined, error: string): void => {
      this.fetching.delete(key)
      if (this.stopped) return
      this.keep(key, answer, error, () => { this.fetch(key, certificate, issuer, revoked) })
      this.tell(url, answer === undefined ? error : answer.status === 'unknown' ? `it does not know ${label(certificate)}` : undefined)
    }
    this.ask(url, certificate, issuer, revoked).then((answer) => { done(answer, '') }, (error: unknown) => { done(undefined, (error as Error).message) })
  }

  private async ask (url: string, certificate: Certificate, issuer: Certificate, revoked: ReadonlySet<string>): Promise<OcspAnswer> {
    if (url === noUrl) throw new Error('the certificate names no OCSP responder and none is configured')
    const question = { certificate, issuer, revoked, nonce: this.random.bytes(NONCE_BYTES) }
    const der = await fetchOcsp(url, ocspRequest(question), this.o.timeoutMs, this.clock)
    return readOcspResponse(der, question, this.clock.wallMs())
  }

  private keep (key: string, answer: OcspAnswer | undefined, error: string, again: () => void): void {
    const nowMs = this.clock.wallMs(), before = this.entries.get(key)
    before?.cancel()
    const wasGood = before?.answer?.status === 'good'
    // A failed renewal leaves the answer before in force, to its end; a revocation has none.
    const stays = answer === undefined && before?.answer !== undefined && (nowMs < before.untilMs || before.answer.status === 'revoked')
    const untilMs = stays ? Math.max(before.untilMs, before.answer?.status === 'revoked' ? nowMs + RETRY_MS : 0) : answer === undefined ? nowMs + RETRY_MS : Math.min(answer.nextUpdateMs ?? Infinity, nowMs + this.o.cacheMs)
    const entry: Entry = { answer: stays ? before.answer : answer, error, untilMs, asked: stays ? before.asked : before === undefined, cancel: () => {} }
    this.entries.delete(key)
    this.entries.set(key, entry)
    for (const [oldest, { cancel }] of this.entries) {
      if (this.entries.size <= this.o.entriesMax) break
      cancel()
      this.entries.delete(oldest)
    }
    const delayMs = answer === undefined ? RETRY_MS : (untilMs - nowMs) * 3 / 4
    entry.cancel = this.clock.after(Math.max(delayMs, 1_000), () => {
      if (entry.asked || this.o.keepsAll) again()
      else if (entry.answer?.status !== 'revoked' && this.entries.get(key) === entry) entry.cancel = this.clock.after(Math.max(0, entry.untilMs - this.clock.wallMs()), () => { if (this.entries.get(key) === entry) this.entries.delete(key) })
    })
    if (wasGood && answer !== undefined && answer.status !== 'good') this.listener?.revoked()
  }

  private tell (url: string, error: string | undefined): void {
    const was = this.failing.has(url)
    if (error === undefined) this.failing.delete(url)
    else if (this.failing.size < this.o.entriesMax) this.failing.add(url)
    if (was !== (error !== undefined)) this.listener?.responder(url, error)
  }
}

/** The first http(s) responder that the certificate names (RFC 5280, clause 4.2.2.1). */
const responderOf = (certificate: Certificate): string | undefined => {
  const access = certificate.parsed.getExtension<x509.AuthorityInfoAccessExtension>(oid.authorityInfoAccess)
  return access?.ocsp.map((name) => name.value).find((url) => URL.canParse(url) && /^https?:/.test(url))
}
