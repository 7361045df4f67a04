/**
 * The master key and what is derived from it. The hierarchy, with its HKDF infos, is documented in docs/store.md.
 * All keys are handles into locked memory: no function here sees a key byte.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import type { KeyHandle, NativeVault } from '../device/native.js'
import { syncFolder } from './files.js'

/** The part of the vault that the store needs. */
export type KeyVault = Pick<NativeVault, 'createMasterKeyFile' | 'openMasterKeyFile' | 'openMasterPassphraseFile' | 'newKey' | 'deriveKey' |
  'wrapKey' | 'unwrapKey' | 'keyCheck' | 'hmac' | 'dropKey' | 'verifyRecord'>

export type MasterKeySource = { readonly keyFile: string } | { readonly passphraseFile: string }

/** Purposes of keys derived from the master key. Each has its own HKDF info; none is ever used for two things. */
export const KEY_INFO = {
  slots: 'qkme/1 key slots', slotFile: 'qkme/1 key slot file', backup: 'qkme/1 backup',
} as const

/** HKDF info of the key that seals records: derived from a seal key with the salt of a process start. */
export const RECORD_INFO = 'record'

const SCRYPT_FILE = 'passphrase.json'
/** RFC 7914; 128 MiB and about half a second. */
const SCRYPT = { logN: 17, r: 8, p: 1 } as const

interface ScryptFile { readonly salt: Uint8Array, readonly logN: number, readonly r: number, readonly p: number }

/**
 * Opens the master key. For a passphrase the salt and the work factors lie in the store's folder (passphrase.json), for
 * the folder's life: another passphrase keeps them. The caller drops the handle.
 * @param random For the salt of a new store; undefined if the store exists, and the file must too.
 * @throws KmeError `MASTER_KEY_MISSING`, `MASTER_KEY_WRONG` (form of the file), `STORE_CORRUPT` (passphrase.json)
 */
export const openMasterKey = (vault: KeyVault, source: MasterKeySource, folder: string, random?: Random): KeyHandle => {
  if ('keyFile' in source) return vault.openMasterKeyFile(source.keyFile)
  const path = join(folder, SCRYPT_FILE)
  if (!existsSync(path) && random === undefined) {
    throw new KmeError('STORE_CORRUPT', `${path} is missing. If the store was made with a key file, set store.masterKey.file; if with a passphrase, put ${SCRYPT_FILE} back from a copy of the folder`)
  }
  const { salt, logN, r, p } = existsSync(path) || random === undefined ? readScrypt(path) : createScrypt(path, random)
  return vault.openMasterPassphraseFile(source.passphraseFile, salt, logN, r, p)
}

const createScrypt = (path: string, random: Random): ScryptFile => {
  const salt = random.bytes(32)
  const fd = openSync(path, 'wx', 0o600)
  try {
    writeSync(fd, `${JSON.stringify({ version: 1, kdf: 'scrypt', salt: Buffer.from(salt).toString('base64'), ...SCRYPT })}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  syncFolder(path)
  return { salt, ...SCRYPT }
}

const readScrypt = (path: string): ScryptFile => {
  const bad = (cause?: unknown): KmeError => new KmeError('STORE_CORRUPT', `${path} is not readable as scrypt parameters. Without its salt the passphrase cannot open the store: put the file back from a copy of this folder`, { cause })
  let raw: Record<string, unknown>
  try {
    raw = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  } catch (cause) {
    throw bad(cause)
  }
  const within = (value: unknown, low: number, high: number): number => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) throw bad()
    return value
  }
  const salt = typeof raw.salt === 'string' ? new Uint8Array(Buffer.from(raw.salt, 'base64')) : new Uint8Array()
  if (raw.version !== 1 || raw.kdf !== 'scrypt' || salt.length < 16 || salt.length > 64) throw bad()
  return { salt, logN: within(raw.logN, 14, 22), r: within(raw.r, 1, 32), p: within(raw.p, 1, 16) }
}
