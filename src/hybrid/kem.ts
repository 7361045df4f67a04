import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { KmeError } from '../kernel/errors.js'

/** Sizes of ML-KEM-768 in bytes (FIPS 203, table 3). */
export const KEM_BYTES = { seed: 64, message: 32, publicKey: 1_184, secretKey: 2_400, ciphertext: 1_088, secret: 32 } as const

/** The caller wipes `secretKey`. */
export interface KemPair { readonly publicKey: Uint8Array, readonly secretKey: Uint8Array }

/** The caller wipes `secret`. */
export interface Encapsulated { readonly ciphertext: Uint8Array, readonly secret: Uint8Array }

/**
 * A fresh pair.
 *
 * @param seed 64 secret random bytes (d || z), wiped here.
 * @see FIPS 203, algorithm 19
 */
export const newKemPair = (seed: Uint8Array): KemPair => {
  try {
    return ml_kem768.keygen(seed)
  } finally {
    seed.fill(0)
  }
}

/**
 * A secret for whoever holds the other half of `publicKey`.
 *
 * @param message 32 secret random bytes, wiped here.
 * @throws KmeError `PROTOCOL` if the key is not one (FIPS 203, clause 7.2: its numbers are not reduced).
 * @see FIPS 203, algorithm 20
 */
export const encapsulate = (publicKey: Uint8Array, message: Uint8Array): Encapsulated => {
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, message)
    return { ciphertext: cipherText, secret: sharedSecret }
  } catch (cause) {
    throw new KmeError('PROTOCOL', 'a public key is not one of ML-KEM-768', { cause })
  } finally {
    message.fill(0)
  }
}

/**
 * The secret in a ciphertext. A ciphertext that was changed gives another secret, not an error: only a check of both ends finds out.
 *
 * @see FIPS 203, algorithm 21
 */
export const decapsulate = (ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array => ml_kem768.decapsulate(ciphertext, secretKey)
