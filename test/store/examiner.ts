/**
 * An examiner who has the master key, every folder, copy and ciphertext that ever was, and only docs/store.md to go by: no
 * code of src/store or of the addon is used, so that what does not open here was really erased.
 */
import { createDecipheriv, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const SLOTS_AT = 4096
const SLOT_BYTES = 128
const HEADER_BYTES = 64
const IV_BYTES = 12
const TAG_BYTES = 16

/** AES-256-GCM; undefined if the tag does not verify. */
const open = (key: Uint8Array, iv: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Buffer | undefined => {
  const cipher = createDecipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(aad)
  cipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
  const plain = cipher.update(sealed.subarray(0, sealed.length - TAG_BYTES))
  try { cipher.final() } catch { return undefined }
  return plain
}

const hkdf = (key: Uint8Array, salt: Uint8Array, info: string): Buffer => Buffer.from(hkdfSync('sha256', key, salt, info, 32))

/** All keys that a file of key slots gives to who has the master key. */
export const slotKeys = (folder: string, master: Uint8Array): Buffer[] => {
  const file = readFileSync(join(folder, 'keyslots.bin'))
  const ring = file.subarray(24, 40), kek = hkdf(master, ring, 'qkme/1 key slots')
  const keys: Buffer[] = []
  for (let index = 0; SLOTS_AT + (index + 1) * SLOT_BYTES <= file.length; index++) {
    const slot = file.subarray(SLOTS_AT + index * SLOT_BYTES, SLOTS_AT + (index + 1) * SLOT_BYTES), aad = Buffer.alloc(28)
    if (slot.every((byte) => byte === 0)) continue
    ring.copy(aad)
    aad.writeUInt32LE(index, 16)
    slot.copy(aad, 20, 4, 12)
    const key = open(kek, slot.subarray(16, 28), aad, slot.subarray(28, 76))
    if (key !== undefined) keys.push(key)
  }
  return keys
}

/** The subkey that opens a record with the seal keys and the salts of starts that the examiner found; undefined if none does. */
export const subkeyFor = (record: Uint8Array, seals: readonly Uint8Array[], salts: readonly Uint8Array[]): string | undefined => {
  for (const seal of seals) {
    for (const salt of salts) {
      const subkey = hkdf(seal, salt, 'record')
      if (open(subkey, nonceOf(record), record.subarray(0, HEADER_BYTES), record.subarray(HEADER_BYTES + IV_BYTES)) !== undefined) return subkey.toString('hex')
    }
  }
  return undefined
}

export const nonceOf = (record: Uint8Array): Uint8Array => record.subarray(HEADER_BYTES, HEADER_BYTES + IV_BYTES)

/** Whether a file of the folder still holds the record's ciphertext, in a page that is in use or not. */
export const liesIn = (folder: string, record: Uint8Array): boolean => {
  const sample = Buffer.from(record.subarray(HEADER_BYTES + IV_BYTES, HEADER_BYTES + IV_BYTES + 48))
  return ['data.mdb', 'journal.bin'].some((name) => readFileSync(join(folder, 'db', name)).includes(sample))
}
