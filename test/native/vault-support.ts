import { createCipheriv, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadNative, type BlockHandle, type KeyHandle, type NativeVault } from '../../src/device/native.js'

export const CONFIRM_BYTES = 48

/** A vault of `cells` cells that needs no raised limits. */
export const testVault = (cells = 128): NativeVault =>
  loadNative().createVault({ arenaBytes: cells * 4096, allowUnlockedMemory: true })

/** Writes `bytes` as a file that only its owner may read. */
export const secretFile = (folder: string, name: string, bytes: Uint8Array | string): string => {
  const path = join(folder, name)
  writeFileSync(path, bytes, { mode: 0o600 })
  return path
}

/** A key whose bytes the test knows. */
export const knownKey = (vault: NativeVault, folder: string, bytes: Uint8Array): KeyHandle =>
  vault.openMasterKeyFile(secretFile(folder, `key-${randomBytes(6).toString('hex')}`, bytes))

/** The record header of `payloadBytes` bytes: version 1, kind device, the rest zero. */
export const recordHeader = (payloadBytes: number): Buffer => {
  const header = Buffer.alloc(64)
  header[0] = 1
  header[1] = 1
  header.writeUInt32LE(payloadBytes, 28)
  return header
}

let ivCounter = 0n
/** Seals as native/record.h says, with node:crypto: the independent way. */
export const sealInJs = (key: Uint8Array, payload: Uint8Array, header = recordHeader(payload.length)): Buffer => {
  const iv = Buffer.alloc(12)
  iv.writeBigUInt64LE(ivCounter++, 4)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(header)
  return Buffer.concat([header, iv, cipher.update(payload), cipher.final(), cipher.getAuthTag()])
}

export interface KnownBlock { readonly block: BlockHandle, readonly bytes: Buffer, readonly records: readonly Buffer[] }

/** A block of known bytes, cut into frames of `frameBytes`; loaded unless told otherwise. */
export const knownBlock = (vault: NativeVault, key: KeyHandle, keyBytes: Uint8Array, number: number, epoch: KeyHandle | 0,
  bytes: Buffer, frameBytes: readonly number[], load = true): KnownBlock => {
  const block = vault.createBlock(number, epoch, Uint32Array.from(frameBytes))
  let at = 0
  const records = frameBytes.map((n, index) => {
    const record = sealInJs(keyBytes, bytes.subarray(at, at + n))
    at += n
    if (load) vault.loadFrame(block, index, key, record)
    return record
  })
  return { block, bytes, records }
}

/** Frame sizes of a block of `total` bytes. */
export const framesOf = (total: number, frameBytes = 3968): number[] => {
  const sizes: number[] = []
  for (let left = total; left > 0; left -= frameBytes) sizes.push(Math.min(left, frameBytes))
  return sizes
}
