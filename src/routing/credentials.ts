import type { KmeId } from '../kernel/ids.js'
import type { Clock } from '../kernel/time.js'
import { sameBytes } from './bytes.js'
import type { Credential, JudgeCertificate } from './ports.js'

interface Known { readonly der: Uint8Array, readonly fingerprint: string, credential: Credential }

/** The certificate now in use and the one before it, whose records are still under way. */
const PER_ORIGIN = 2
const REFUSED_MAX = 256
const REFUSED_MS = 60_000

/** Nothing can be said of a certificate before its OCSP responder has answered. */
export const PENDING = Symbol('pending')

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** The certificates of the network's KMEs, judged. Judging costs milliseconds, so an answer is kept, a refusal for a minute. */
export class Credentials {
  readonly #known = new Map<KmeId, Known[]>()
  readonly #refused = new Map<string, { readonly why: string, readonly untilMs: number }>()

  constructor (private readonly judge: JudgeCertificate, private readonly clock: Clock) {}

  /** The credential under which a record of `origin` may be signed, if its certificate has come and is in force. */
  find (origin: KmeId, fingerprint: Uint8Array): Credential | undefined {
    const name = hex(fingerprint)
    const known = this.#known.get(origin)?.find((k) => k.fingerprint === name)
    return known !== undefined && known.credential.validUntilMs > this.clock.wallMs() ? known.credential : undefined
  }

  /** Judges a certificate that came in a record of `origin`; does not keep it. @returns the credential, or why not; PENDING: ask again soon. */
  look (origin: KmeId, der: Uint8Array, fingerprint: Uint8Array): Credential | string | typeof PENDING {
    const known = this.find(origin, fingerprint)
    if (known !== undefined) return known
    const name = hex(fingerprint), now = this.clock.monoMs()
    const refused = this.#refused.get(name)
    if (refused !== undefined && refused.untilMs > now) return refused.why
    const credential = this.judge(der)
    if ('refused' in credential && credential.isPending === true) return PENDING
    const why = 'refused' in credential ? credential.refused : credential.kme !== origin ? `the certificate is that of ${credential.kme}` : ''
    if (why === '') return credential as Credential
    this.#refused.delete(name)
    this.#refused.set(name, { why, untilMs: now + REFUSED_MS })
    if (this.#refused.size > REFUSED_MAX) this.#refused.delete(this.#refused.keys().next().value as string)
    return why
  }

  keep (origin: KmeId, der: Uint8Array, fingerprint: Uint8Array, credential: Credential): void {
    const before = (this.#known.get(origin) ?? []).filter((k) => !sameBytes(k.der, der))
    this.#known.set(origin, [...before, { der, fingerprint: hex(fingerprint), credential }].slice(-PER_ORIGIN))
  }

  /** Judges the newest certificate of a KME again. @returns '' or why it is no longer accepted; then it is forgotten. */
  recheck (origin: KmeId): string {
    const known = this.#known.get(origin)?.at(-1)
    if (known === undefined) return ''
    const credential = this.judge(known.der)
    const why = 'refused' in credential ? credential.refused : credential.kme !== origin ? `the certificate is that of ${credential.kme}` : ''
    if (why === '') known.credential = credential as Credential
    else this.#known.delete(origin)
    return why
  }

  /** KMEs whose newest certificate must be judged again now. */
  due (): KmeId[] {
    const now = this.clock.wallMs()
    return [...this.#known].filter(([, known]) => (known.at(-1)?.credential.validUntilMs ?? 0) <= now).map(([origin]) => origin)
  }

  forget (origin: KmeId): void { this.#known.delete(origin) }
  /** Trust anchors or lists changed: what was refused may be accepted now. */
  forgive (): void { this.#refused.clear() }
  origins (): KmeId[] { return [...this.#known.keys()] }
}
