import type { KeyHandle, NativeVault } from '../src/device/native.js'
import type { RecordKeys } from '../src/pool/ports.js'
import { recordStart } from '../src/store/record.js'

/** Keys of sealed records for simulated stores: one per process start, derived from the master key, never erased. */
export const simRecordKeys = (vault: NativeVault, masterKeyFile: string, start: number): RecordKeys => {
  const master = vault.openMasterKeyFile(masterKeyFile)
  const openers = new Map<number, KeyHandle>()
  const opener = (n: number): KeyHandle => {
    let key = openers.get(n)
    if (key === undefined) openers.set(n, key = vault.deriveKey(master, Uint8Array.of(n & 0xff, n >>> 8 & 0xff, n >>> 16 & 0xff), 'record'))
    return key
  }
  const sealer = vault.createSealer(opener(start), start)
  const aad = new Uint8Array(1)
  return {
    sealer: () => ({ sealer, slot: 1 }), opener: (record) => opener(recordStart(record)), added: () => {}, removed: () => {},
    wrap: (key) => vault.wrapKey(master, key, aad), unwrap: (wrapped) => vault.unwrapKey(master, wrapped, aad),
  }
}
