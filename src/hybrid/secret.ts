import { createHash, timingSafeEqual } from 'node:crypto'
import type { KeyHandle, NativeVault } from '../device/native.js'
import type { KmeId } from '../kernel/ids.js'

/** What both ends have said of one exchange. */
export interface Transcript {
  /** The KME that made the key pair: the one with the lower ID. */
  readonly offerer: KmeId
  readonly answerer: KmeId
  readonly id: Uint8Array
  readonly publicKey: Uint8Array
  readonly ciphertext: Uint8Array
}

/** A finished exchange: the key of its streams, and the values by which the ends show each other that they have the same. */
export interface AgreedSecret { readonly key: KeyHandle, readonly offererCheck: Uint8Array, readonly answererCheck: Uint8Array }

export type HybridVault = Pick<NativeVault, 'takeKey' | 'deriveKey' | 'hmac' | 'dropKey'>

const digestOf = ({ offerer, answerer, id, publicKey, ciphertext }: Transcript): Uint8Array => {
  const hash = createHash('sha256').update('qkme hybrid exchange 1\0')
  for (const part of [Buffer.from(offerer), Buffer.from(answerer), id, publicKey, ciphertext]) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, part.length, true)
    hash.update(length).update(part)
  }
  return new Uint8Array(hash.digest())
}

/**
 * Hands the shared secret to the vault at once and derives what is needed there: HKDF-SHA-256 with the hash of everything that was
 * said as salt. The check values are HMACs under a key of their own; they tell nothing of the stream's key.
 *
 * @param secret 32 bytes; wiped here, also if it throws.
 */
export const agree = (vault: HybridVault, secret: Uint8Array, transcript: Transcript): AgreedSecret => {
  const shared = vault.takeKey(secret)
  try {
    const salt = digestOf(transcript)
    const checkKey = vault.deriveKey(shared, salt, 'qkme hybrid check 1')
    try {
      return {
        offererCheck: vault.hmac(checkKey, Uint8Array.of(1)), answererCheck: vault.hmac(checkKey, Uint8Array.of(2)),
        key: vault.deriveKey(shared, salt, 'qkme hybrid exchange 1'),
      }
    } finally {
      vault.dropKey(checkKey)
    }
  } finally {
    vault.dropKey(shared)
  }
}

export const sameCheck = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)
