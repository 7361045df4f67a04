import type { SaeId } from '../kernel/ids.js'

/** What the trust store says of a client certificate; `TrustStore` of src/crypto/trust.ts is one. */
export interface Identity {
  /** Moves at every change of a CA, a CRL or the registry: what was said before is void. */
  readonly generation: number
  /** @param pem  The certificate that TLS verified at the handshake; '' if the client sent none. Must not throw. */
  check (pem: string): Accepted | Rejected
}
/** Holds while `generation` is unmoved and the wall clock is from `notBeforeMs` to below `validUntilMs`. */
export interface Accepted {
  readonly ok: true
  readonly id: SaeId
  readonly issuer: string
  readonly serialHex: string
  readonly notBeforeMs: number
  readonly validUntilMs: number
}
export interface Rejected { readonly ok: false, readonly reason: string, readonly message: string }

interface Entry { readonly verdict: Accepted | Rejected, readonly generation: number, readonly fromMs: number, readonly untilMs: number }

/** A rejection is looked at again after this time: a certificate may become valid without any change of ours. */
const REJECTED_FOR_MS = 5_000

/** Certificates that are compared before a look-up, and where in the text the signature's last characters stand, from the end. */
const RECENT = 1_024
const TAIL = [30, 31, 32, 33] as const

/** A place for a PEM: equal texts have the same, and the ends of two signatures hardly ever do. */
const placeOf = (pem: string): number => {
  let place = pem.length
  for (const back of TAIL) place = place * 31 + pem.charCodeAt(pem.length - back) & 0xf_ffff
  return place & RECENT - 1
}

/**
 * Verdicts by PEM text, because to parse a certificate on each request costs 0.3 ms. Holds two maps of at most
 * `size` entries: what is used moves to the younger, and when that is full the older is dropped. So it is bounded,
 * costs one look-up per request, and certificates in use stay. A look-up hashes 800 characters, for the library makes a new
 * string each time: so the last text at each of some places is compared first, whole.
 */
export class IdentityCache {
  #younger = new Map<string, Entry>()
  #older = new Map<string, Entry>()
  readonly #recent: ({ readonly pem: string, readonly entry: Entry } | undefined)[] = new Array<undefined>(RECENT).fill(undefined)

  constructor (private readonly identity: Identity, private readonly size: number) {}

  /** @param nowMs  Wall clock: dates of certificates and revocation lists are in it. */
  verdict (pem: string, nowMs: number): Accepted | Rejected {
    const place = placeOf(pem), recent = this.#recent[place]
    if (recent !== undefined && recent.pem === pem && this.#holds(recent.entry, nowMs)) return recent.entry.verdict
    const entry = this.#younger.get(pem) ?? this.#older.get(pem)
    if (entry === undefined || !this.#holds(entry, nowMs)) return this.#ask(pem, nowMs)
    if (this.#older.delete(pem)) this.#keep(pem, entry)
    this.#recent[place] = { pem, entry }
    return entry.verdict
  }

  #holds (entry: Entry, nowMs: number): boolean {
    return entry.generation === this.identity.generation && nowMs < entry.untilMs && nowMs >= entry.fromMs
  }

  get entries (): number { return this.#younger.size + this.#older.size }

  #ask (pem: string, nowMs: number): Accepted | Rejected {
    // The generation is read first: a change while the certificate is looked at voids the answer.
    const generation = this.identity.generation
    const verdict = this.identity.check(pem)
    this.#older.delete(pem)
    this.#keep(pem, {
      verdict, generation,
      fromMs: verdict.ok ? verdict.notBeforeMs : nowMs,
      untilMs: verdict.ok ? verdict.validUntilMs : verdict.reason === 'ocsp-pending' ? nowMs : nowMs + REJECTED_FOR_MS,
    })
    return verdict
  }

  #keep (pem: string, entry: Entry): void {
    if (this.#younger.size >= this.size && !this.#younger.has(pem)) {
      this.#older = this.#younger
      this.#younger = new Map()
    }
    this.#younger.set(pem, entry)
  }
}
