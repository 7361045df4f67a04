import type { KeyHandle, NativeVault } from '../device/native.js'
import { invariant } from '../kernel/errors.js'
import { TAG_BYTES, type FrameHeader } from './frame.js'
import type { AuthPads, PadBytes, PadRef } from './ports.js'
import { Refusal } from './refusal.js'

/** The part of the vault that makes and checks tags. */
export type TagVault = Pick<NativeVault, 'takeHashKey' | 'tag' | 'verifyTag' | 'dropKey'>

/** A hash key and one fresh pad: what one tagged frame needs. */
export interface TagTicket { readonly hashKey: PadRef, readonly pad: PadBytes }

/** What a ticket puts into a frame's header. */
export interface FrameTicket { readonly hashKey: PadRef, readonly pad: PadRef }

/**
 * Makes and checks the tags of one connection. Between neighbours: `FrameTags`. On a control channel: tags keyed by its TLS
 * session (src/peer/control/session-tags.ts). A ticket goes back only to whoever gave it.
 */
export interface ChannelTags {
  /** Every message but the hello carries a tag; false: those that want one. A tag that costs nothing need not be spared. */
  readonly isForAll: boolean
  /** Pieces of 16 bytes taken from our reserve so far. */
  readonly taken: number
  /** What the next tagged frame needs; undefined when there is nothing now. */
  ticket (vital: boolean): FrameTicket | undefined
  /** Writes the tag of `data` to `out` (16 bytes). */
  seal (ticket: FrameTicket, data: Uint8Array, out: Uint8Array): void
  /** @throws Refusal `pad`, `tag`. */
  verify (header: FrameHeader, data: Uint8Array, tag: Uint8Array): void
  /** Wipes the keys. */
  drop (): void
}

interface HeldKey { readonly ref: PadRef, readonly handle: KeyHandle }

const samePlace = (a: PadRef, b: PadRef): boolean => a.block === b.block && a.offset === b.offset

/**
 * Wegman-Carter tags of one connection. Each side draws one hash key from its own lane at its first tagged frame and keeps
 * it for the connection; each frame is masked with 16 bytes of its own. The forgery probability is at most
 * (blocks + 1) / 2^128 per frame.
 *
 * @see Wegman and Carter, "New hash functions and their use in authentication and set equality", 1981
 */
export class FrameTags implements ChannelTags {
  readonly isForAll = false
  #own: HeldKey | undefined
  #peers: HeldKey | undefined
  /** Pieces of 16 bytes taken from our reserve so far. */
  taken = 0

  constructor (private readonly vault: TagVault, private readonly pads: AuthPads) {}

  /**
   * Takes what the next tagged frame needs; undefined when the reserve gives nothing. A hash key that was taken is kept
   * even then.
   *
   * @param vital May use the reserve below its floor.
   */
  ticket (vital: boolean): TagTicket | undefined {
    if (this.#own === undefined) {
      const bytes = this.#take(vital)
      if (bytes === undefined) return undefined
      this.#own = hold(this.vault, bytes)
    }
    const pad = this.#take(vital)
    return pad === undefined ? undefined : { hashKey: this.#own.ref, pad }
  }

  /** Writes the tag of `data` to `out` (16 bytes). A ticket serves once: its pad is wiped. */
  seal (ticket: TagTicket, data: Uint8Array, out: Uint8Array): void {
    invariant(this.#own !== undefined && out.length === TAG_BYTES, 'a ticket was taken and there is room for its tag')
    this.vault.tag(this.#own.handle, ticket.pad.handle, ticket.pad.offset, data, out)
  }

  /**
   * Checks a frame of the peer.
   *
   * @param data What the tag covers.
   * @throws Refusal `pad` (the hash key or the pad is not one we may accept, or the hash key changed), `tag` (forged).
   */
  verify (header: FrameHeader, data: Uint8Array, tag: Uint8Array): void {
    if (this.#peers === undefined) {
      const bytes = this.pads.open(header.hashKey)
      if (bytes === undefined) throw new Refusal('pad', `the hash key at ${place(header.hashKey)} was used before or is not in the peer's reserve`)
      this.#peers = hold(this.vault, bytes)
    }
    if (!samePlace(this.#peers.ref, header.hashKey)) throw new Refusal('pad', 'the hash key changed within a connection')
    const pad = this.pads.open(header.pad)
    if (pad === undefined) throw new Refusal('pad', `the pad at ${place(header.pad)} was used before or is not in the peer's reserve`)
    if (!this.vault.verifyTag(this.#peers.handle, pad.handle, pad.offset, data, tag)) throw new Refusal('tag', 'the tag of a frame is wrong')
  }

  /** Wipes both hash keys. */
  drop (): void {
    for (const key of [this.#own, this.#peers]) if (key !== undefined) this.vault.dropKey(key.handle)
    this.#own = this.#peers = undefined
  }

  #take (vital: boolean): PadBytes | undefined {
    const bytes = this.pads.take(vital)
    if (bytes !== undefined) this.taken++
    return bytes
  }
}

const hold = (vault: TagVault, bytes: PadBytes): HeldKey =>
  ({ ref: { block: bytes.block, offset: bytes.offset }, handle: vault.takeHashKey(bytes.handle, bytes.offset) })

const place = (ref: PadRef): string => `block ${ref.block}, offset ${ref.offset}`
