/** The addon's vault with blocks of known bytes, for tests that must not trust a model of it. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNative, RECORD_HEADER_BYTES, type BlockHandle, type KeyHandle, type NativeVault } from '../../src/device/native.js'
import type { TagVault } from '../../src/peer/tags.js'

const FRAME_BYTES = 3_968

/** A sealed record (native/record.h) made outside the vault under a key that the vault gets by file. */
const seal = (key: Uint8Array, payload: Uint8Array, index: number): Uint8Array => {
  const header = new Uint8Array(RECORD_HEADER_BYTES), iv = new Uint8Array(12)
  const view = new DataView(header.buffer)
  view.setUint8(0, 1)
  view.setUint8(1, 1)
  view.setUint32(28, payload.length, true)
  view.setUint32(24, index, true)
  iv[4] = index
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(header)
  return Buffer.concat([header, iv, cipher.update(payload), cipher.final(), cipher.getAuthTag()])
}

export class RealVault implements TagVault {
  readonly #vault: NativeVault = loadNative().createVault({ arenaBytes: 1 << 20, allowUnlockedMemory: true })

  get keysHeld (): number { return this.#vault.stats().keysUsed }

  addBlock (bytes: Uint8Array): BlockHandle {
    const key = randomBytes(32)
    const handle = this.#load(key)
    const frames: Uint8Array[] = []
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) frames.push(bytes.subarray(at, at + FRAME_BYTES))
    const block = this.#vault.createBlock(1, 0, Uint32Array.from(frames, (frame) => frame.length))
    frames.forEach((frame, index) => {
      this.#vault.loadFrame(block, index, handle, seal(key, frame, index))
      this.#vault.pinFrame(block, index)
    })
    this.#vault.dropKey(handle)
    return block
  }

  takeHashKey (block: BlockHandle, offset: number): KeyHandle { return this.#vault.takeHashKey(block, offset) }
  tag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, out: Uint8Array): void { this.#vault.tag(hashKey, block, offset, data, out) }
  verifyTag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, tag: Uint8Array): boolean { return this.#vault.verifyTag(hashKey, block, offset, data, tag) }
  dropKey (key: KeyHandle): void { this.#vault.dropKey(key) }

  #load (key: Uint8Array): KeyHandle {
    const folder = mkdtempSync(join(tmpdir(), 'qkme-test-'))
    try {
      writeFileSync(join(folder, 'key'), key, { mode: 0o600 })
      return this.#vault.openMasterKeyFile(join(folder, 'key'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
}
