import type { KmeId } from '../kernel/ids.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { Body, MessageName } from '../peer/messages.js'
import type { PeerPart } from '../peer/parts.js'
import type { PeerChannel } from '../peer/ports.js'
import { Exchange, type HybridLimits } from './exchange.js'
import { decapsulate, encapsulate, KEM_BYTES, newKemPair, type KemPair } from './kem.js'
import { agree, sameCheck, type AgreedSecret, type HybridVault } from './secret.js'

/** Since the start of the process, over all exchanges; read at scrape. */
export interface HybridCounters {
  agreed: number
  /** The ends had different secrets: something between them was changed. */
  mismatches: number
  unanswered: number
  sealedBytes: number
}

export interface HybridPeerOptions {
  readonly self: KmeId
  readonly remote: KmeId
  readonly vault: HybridVault
  readonly clock: Clock
  /** The system's, outside simulations: the seeds of key pairs come from it. */
  readonly random: Random
  readonly limits: HybridLimits
  readonly counters: HybridCounters
  /** For operators and the audit trail. */
  readonly security: (event: string, subject: KmeId, detail: string) => void
}

/** Exchanges that can still be sealed under: the one in use and the one before it, whose jobs may be under way. */
const LIVE_MAX = 2

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/**
 * ML-KEM-768 exchanges with one KME over its control channel. The KME with the lower ID offers: once a connection is wanted for
 * hybrid keys, after `rekeyMs`, and after `rekeyBytes`. Both check that they have the same secret before either uses it. What was agreed goes with
 * the connection: an end that started again has nothing of it.
 */
export class HybridPeer implements PeerPart {
  readonly names: readonly MessageName[] = ['hybridOffer', 'hybridAnswer', 'hybridConfirm']
  #channel: PeerChannel | undefined
  #offer: { readonly id: Uint8Array, readonly pair: KemPair } | undefined
  /** Our answer, until the other end has confirmed it. */
  #answer: { readonly id: Uint8Array, readonly secret: AgreedSecret } | undefined
  #live: Exchange[] = []
  #timer: Cancel | undefined
  #failures = 0
  #isWanted = false
  #offeredMs = -Infinity

  constructor (private readonly o: HybridPeerOptions) {}

  /** The exchange for new blocks: both ends have it. Undefined while there is none. */
  get current (): Exchange | undefined {
    const newest = this.#live.at(-1)
    return newest?.isUsedUp === true ? undefined : newest
  }

  find (id: Uint8Array): Exchange | undefined {
    const name = hex(id)
    return this.#live.find((exchange) => hex(exchange.id) === name)
  }

  /** Bytes lie under the streams of an exchange: a new one may be due. */
  used (): void {
    if (this.#isWanted && this.#live.at(-1)?.isOld === true && this.#offer === undefined && this.#failures === 0) this.#begin()
  }

  // --- the channel --------------------------------------------------------------------------------------------------

  onReady (channel: PeerChannel): void {
    this.#channel = channel
    this.#failures = 0
  }

  /** A hybrid pool is open at both ends of this connection. */
  want (): void {
    if (this.#isWanted || this.#channel === undefined) return
    this.#isWanted = true
    this.#begin()
  }

  /** None is any more: no further exchanges; the last ones serve what is under way until the connection ends. */
  unwant (): void {
    this.#isWanted = false
    this.#timer?.()
    this.#giveUpOffer()
  }

  onClosed (): void {
    this.#isWanted = false
    this.#channel = undefined
    this.#timer?.()
    this.#timer = undefined
    this.#giveUpOffer()
    this.#giveUpAnswer()
    for (const exchange of this.#live.splice(0)) this.o.vault.dropKey(exchange.key)
  }

  onMessage (name: MessageName, body: unknown): void {
    if (name === 'hybridOffer') this.#onOffer(body as Body<'hybridOffer'>)
    else if (name === 'hybridAnswer') this.#onAnswer(body as Body<'hybridAnswer'>)
    else this.#onConfirm(body as Body<'hybridConfirm'>)
  }

  // --- the lower ID -------------------------------------------------------------------------------------------------

  get #isOfferer (): boolean { return this.o.self < this.o.remote }

  #begin (): void {
    if (!this.#isOfferer || this.#channel === undefined) return
    this.#giveUpOffer()
    const id = this.o.random.bytes(16)
    const pair = newKemPair(this.o.random.bytes(KEM_BYTES.seed))
    this.#offer = { id, pair }
    if (this.#channel.send('hybridOffer', { id, publicKey: pair.publicKey }) !== 'sent') { this.#failed(); return }
    this.#after(this.o.limits.answerMs, () => {
      this.o.counters.unanswered++
      this.#failed()
    })
  }

  #onAnswer ({ id, ciphertext, check }: Body<'hybridAnswer'>): void {
    const offer = this.#offer
    if (offer === undefined || hex(offer.id) !== hex(id)) return // Of an offer that was given up.
    const secret = agree(this.o.vault, decapsulate(ciphertext, offer.pair.secretKey), { offerer: this.o.self, answerer: this.o.remote, id, publicKey: offer.pair.publicKey, ciphertext })
    this.#giveUpOffer()
    const fits = sameCheck(check, secret.answererCheck)
    const isSent = this.#channel?.send('hybridConfirm', { id, check: fits ? secret.offererCheck : null }) === 'sent'
    if (fits && isSent) {
      this.#failures = 0
      this.#take(id, secret)
      this.#after(this.o.limits.rekeyMs, () => { this.#begin() })
      return
    }
    this.o.vault.dropKey(secret.key)
    if (!fits) this.#mismatch('the answer to an exchange does not fit')
    this.#failed()
  }

  #failed (): void {
    this.#giveUpOffer()
    const { retryMinMs, retryMaxMs } = this.o.limits
    const waitMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(this.#failures++, 20))
    this.#after(waitMs, () => { this.#begin() })
  }

  #giveUpOffer (): void {
    this.#offer?.pair.secretKey.fill(0)
    this.#offer = undefined
  }

  // --- the higher ID ------------------------------------------------------------------------------------------------

  #onOffer ({ id, publicKey }: Body<'hybridOffer'>): void {
    const nowMs = this.o.clock.monoMs()
    if (this.#isOfferer || nowMs - this.#offeredMs < this.o.limits.offerGapMs || this.find(id) !== undefined) return
    this.#offeredMs = nowMs
    this.#giveUpAnswer()
    const { ciphertext, secret } = encapsulate(publicKey, this.o.random.bytes(KEM_BYTES.message))
    const agreed = agree(this.o.vault, secret, { offerer: this.o.remote, answerer: this.o.self, id, publicKey, ciphertext })
    this.#answer = { id, secret: agreed }
    if (this.#channel?.send('hybridAnswer', { id, ciphertext, check: agreed.answererCheck }) !== 'sent') this.#giveUpAnswer()
  }

  #onConfirm ({ id, check }: Body<'hybridConfirm'>): void {
    if (this.#isOfferer) { if (check === null) this.#takeBack(id); return }
    const answer = this.#answer
    if (answer === undefined || hex(answer.id) !== hex(id)) return
    if (check !== null && sameCheck(check, answer.secret.offererCheck)) {
      this.#answer = undefined
      this.#take(id, answer.secret)
      return
    }
    this.#giveUpAnswer()
    if (check !== null) this.#channel?.send('hybridConfirm', { id, check: null })
    this.#mismatch(check === null ? 'the other end says that our answer to an exchange does not fit' : 'the confirmation of an exchange does not fit')
  }

  #giveUpAnswer (): void {
    if (this.#answer !== undefined) this.o.vault.dropKey(this.#answer.secret.key)
    this.#answer = undefined
  }

  // --- both ---------------------------------------------------------------------------------------------------------

  #take (id: Uint8Array, { key }: AgreedSecret): void {
    this.#live.push(new Exchange(Uint8Array.from(id), key, this.o.limits.rekeyBytes))
    for (const old of this.#live.splice(0, this.#live.length - LIVE_MAX)) this.o.vault.dropKey(old.key)
    this.o.counters.agreed++
  }

  /** The other end found our confirmation wrong: it has nothing of what we have taken. */
  #takeBack (id: Uint8Array): void {
    const found = this.find(id)
    if (found === undefined) return
    this.#live = this.#live.filter((exchange) => exchange !== found)
    this.o.vault.dropKey(found.key)
    this.#mismatch('the other end says that our confirmation of an exchange does not fit')
    this.#failed()
  }

  #mismatch (detail: string): void {
    this.o.counters.mismatches++
    this.o.security('hybrid.mismatch', this.o.remote, detail)
  }

  #after (delayMs: number, then: () => void): void {
    this.#timer?.()
    this.#timer = this.o.clock.after(delayMs, then)
  }
}
