import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { invariant } from '../../kernel/errors.js'
import type { Path } from './ports.js'

/** Bytes that both ends take from their TLS session, beside those for tags. */
export const MOVE_KEY_BYTES = 32
const label = 'qkme tunnel move 1\0'

/**
 * Shows the far end of a session that it is its opener who wants it on another path. Without it, a node that once carried the session
 * and so knows its number could pull it back onto a path over itself: nodes of the network speak for themselves only.
 *
 * HMAC-SHA-256(key; label || session || number of the move, u64 || path as JSON). Numbers rise, so that no move is good twice.
 */
export class MoveProof {
  private readonly key: KeyObject

  /** @param key MOVE_KEY_BYTES bytes, wiped here. */
  constructor (key: Uint8Array) {
    invariant(key.length === MOVE_KEY_BYTES, 'moves are proved with a key of 32 bytes')
    this.key = createSecretKey(key)
    key.fill(0)
  }

  make (session: Uint8Array, number: number, path: Path): Uint8Array {
    const head = Buffer.alloc(8)
    head.writeBigUInt64BE(BigInt(number))
    return new Uint8Array(createHmac('sha256', this.key).update(label).update(session).update(head).update(JSON.stringify(path)).digest())
  }

  fits (session: Uint8Array, number: number, path: Path, proof: Uint8Array): boolean {
    const expected = this.make(session, number, path)
    return proof.length === expected.length && timingSafeEqual(expected, proof)
  }
}
