import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { invariant } from '../../kernel/errors.js'
import { isNoPad, noPad, TAG_BYTES, type FrameHeader } from '../frame.js'
import { Refusal } from '../refusal.js'
import type { ChannelTags, FrameTicket } from '../tags.js'

const KEY_BYTES = 32
/** Bytes that both ends take from their TLS session (RFC 8446, clause 7.5): the dialler's key, then the acceptor's. */
export const TAG_KEYS_BYTES = 2 * KEY_BYTES

const ticket: FrameTicket = { hashKey: noPad, pad: noPad }

/**
 * Tags of a control channel: HMAC-SHA-256 cut to 16 bytes, one key per direction, both from the TLS session. No QKD key is
 * used: between KMEs that share no link authenticity is computational anyway. What it is for: the channel decodes a frame only
 * after its number and its tag, on whatever it runs.
 *
 * @see RFC 2104; RFC 8446, clause 7.5
 */
export class SessionTags implements ChannelTags {
  readonly isForAll = true
  readonly taken = 0
  #out: KeyObject | undefined
  #in: KeyObject | undefined

  /** @param keys TAG_KEYS_BYTES bytes, wiped here. */
  constructor (keys: Uint8Array, isDialler: boolean) {
    invariant(keys.length === TAG_KEYS_BYTES, 'a session gives two keys of 32 bytes')
    const [ofDialler, ofAcceptor] = [keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES)].map((key) => createSecretKey(key)) as [KeyObject, KeyObject]
    keys.fill(0)
    this.#out = isDialler ? ofDialler : ofAcceptor
    this.#in = isDialler ? ofAcceptor : ofDialler
  }

  ticket (): FrameTicket { return ticket }

  seal (_ticket: FrameTicket, data: Uint8Array, out: Uint8Array): void { out.set(tagOf(this.#out, data)) }

  verify (header: FrameHeader, data: Uint8Array, tag: Uint8Array): void {
    if (!(isNoPad(header.hashKey) && isNoPad(header.pad))) throw new Refusal('pad', 'a frame of a control channel names a pad')
    if (!timingSafeEqual(tagOf(this.#in, data), tag)) throw new Refusal('tag', 'the tag of a frame is wrong')
  }

  drop (): void { this.#out = this.#in = undefined }
}

const tagOf = (key: KeyObject | undefined, data: Uint8Array): Uint8Array => {
  invariant(key !== undefined, 'the keys of a session are not used after its end')
  return new Uint8Array(createHmac('sha256', key).update(data).digest().subarray(0, TAG_BYTES))
}
