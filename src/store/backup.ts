/**
 * Backup and restore of everything but key stock. One file:
 *   "QKMEBAK1" | version u32 | 0 u32 | salt 32 | MAC 32 over what is before it
 *   chunks: bytes u32 | operations (src/store/lmdb-batch.ts has the form) | MAC 32
 *   end: 0 u32 | rows f64 | MAC 32
 * Each MAC = HMAC(key, previous MAC || bytes), key = HKDF(master key, salt, "qkme/1 backup"): nothing can be changed,
 * left out or put in front, and only who has the master key can restore. The rows are not encrypted: they hold no key.
 */
import { closeSync, existsSync, fsyncSync, openSync, readSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { timingSafeEqual } from 'node:crypto'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import type { KeyHandle } from '../device/native.js'
import { AUDIT_BASE, AUDIT_NAME_TABLE, AUDIT_TABLE } from './audit.js'
import { syncFolder } from './files.js'
import { decodeKey, encodeKey } from './key-codec.js'
import { prefixRange, type Kv, type KvKey } from './kv.js'
import { OP_HEADER_BYTES, OP_PUT, VALUE_BYTES_MAX } from './batch-format.js'
import { KEY_INFO, type KeyVault } from './master-key.js'
import { META } from './meta.js'

/** Tables of the store itself that travel. The engine names its own (`extra`); blocks, frames, claims and lanes never do. */
export const BACKUP_TABLES: readonly string[] = ['sae', 'saeGeneration', AUDIT_TABLE, AUDIT_NAME_TABLE, AUDIT_BASE[0]]
/** Tables that must never travel, whatever a caller names: with them a restored store could spend again. */
const FORBIDDEN: readonly string[] = ['meta', 'slot', 'start', 'block', 'frame', 'records', 'removed', 'claim', 'lease', 'lane', 'epoch', 'granted', 'grantedKey', 'grantedMasks', 'grantCount', 'offered']

const MAGIC = Buffer.from('QKMEBAK1')
const HEADER_BYTES = 48
const CHUNK_BYTES = 1 << 20

/** @returns rows written. @throws KmeError `STORE_UNAVAILABLE` (the file exists, or cannot be written), `BAD_REQUEST` (a table that never travels) */
export const backupStore = (kv: Kv, vault: KeyVault, master: KeyHandle, random: Random, path: string, extra: readonly string[] = []): number => {
  const forbidden = extra.find((table) => FORBIDDEN.includes(table))
  if (forbidden !== undefined) throw new KmeError('BAD_REQUEST', `the table "${forbidden}" holds key stock or what it depends on: it never travels`)
  if (existsSync(path)) throw new KmeError('STORE_UNAVAILABLE', `${path} exists: name a file that does not`)
  const partial = `${path}.partial`
  const salt = random.bytes(32), key = vault.deriveKey(master, salt, KEY_INFO.backup)
  let fd: number | undefined
  try {
    fd = openSync(partial, 'w', 0o600)
    const out = new ChainWriter(fd, (bytes) => vault.hmac(key, bytes))
    const header = Buffer.alloc(HEADER_BYTES)
    header.set(MAGIC)
    header.writeUInt32LE(1, 8)
    header.set(salt, 16)
    out.write(header)
    let rows = 0
    for (const table of [...BACKUP_TABLES, ...extra]) for (const { key: name, value } of kv.range(prefixRange([table]))) { out.row(encodeKey(name), value); rows++ }
    out.end(rows)
    fsyncSync(fd)
    renameSync(partial, path)
    syncFolder(path)
    return rows
  } catch (cause) {
    if (existsSync(partial)) unlinkSync(partial)
    throw cause instanceof KmeError ? cause : new KmeError('STORE_UNAVAILABLE', `cannot write ${path}: ${(cause as Error).message}`, { cause })
  } finally {
    if (fd !== undefined) closeSync(fd)
    vault.dropKey(key)
  }
}

/**
 * Fills a store that holds nothing yet, and marks it as restored: at its next opening it takes a new ID and voids what
 * peers still hold for the old one. The file is verified whole before the first row is written.
 * @returns rows restored. @throws KmeError `STORE_UNAVAILABLE` (the store is not empty), `STORE_CORRUPT` (the file), `MASTER_KEY_WRONG`
 */
export const restoreStore = async (kv: Kv, vault: KeyVault, master: KeyHandle, path: string, extra: readonly string[] = []): Promise<number> => {
  const allowed = new Set([...BACKUP_TABLES, ...extra])
  const taken = ['sae', AUDIT_TABLE, 'slot', 'block', ...extra].find((table) => [...kv.keys({ ...prefixRange([table]), limit: 1 })].length > 0)
  if (taken !== undefined) throw new KmeError('STORE_UNAVAILABLE', `the store is not empty (table "${taken}"): restore into a new folder`)
  readBackup(path, vault, master, () => undefined)
  kv.transact((tx) => { tx.put(META.void, new TextEncoder().encode('restored')) }) // First: a cut restore is void as well.
  const rows = readBackup(path, vault, master, (entries) => {
    kv.transact((tx) => {
      for (const [key, value] of entries) {
        if (!allowed.has(String(key[0]))) throw new KmeError('STORE_CORRUPT', `${path} holds a table "${String(key[0])}" that does not travel`)
        tx.put(key, value)
      }
    })
  })
  await kv.flushed()
  return rows
}

class ChainWriter {
  private mac: Uint8Array = new Uint8Array(32)
  private readonly chunk = Buffer.alloc(CHUNK_BYTES + VALUE_BYTES_MAX + 1024)
  private used = 0

  constructor (private readonly fd: number, private readonly hmac: (bytes: Uint8Array) => Uint8Array) {}

  row (key: string, value: Uint8Array): void {
    const at = this.used
    this.chunk[at] = OP_PUT
    this.chunk.writeUInt16LE(key.length, at + 1)
    this.chunk.writeUInt32LE(value.length, at + 3)
    this.chunk.write(key, at + OP_HEADER_BYTES, 'latin1')
    this.chunk.set(value, at + OP_HEADER_BYTES + key.length)
    this.used = at + OP_HEADER_BYTES + key.length + value.length
    if (this.used >= CHUNK_BYTES) this.flush()
  }

  end (rows: number): void {
    this.flush()
    const end = Buffer.alloc(12)
    end.writeDoubleLE(rows, 4)
    this.write(end)
  }

  /** Bytes and their link of the chain. */
  write (bytes: Uint8Array): void {
    this.mac = this.hmac(Buffer.concat([this.mac, bytes]))
    writeSync(this.fd, Buffer.concat([bytes, this.mac]))
  }

  private flush (): void {
    if (this.used === 0) return
    const length = Buffer.alloc(4)
    length.writeUInt32LE(this.used)
    this.write(Buffer.concat([length, this.chunk.subarray(0, this.used)]))
    this.used = 0
  }
}

type Rows = (readonly [KvKey, Uint8Array])[]

const readBackup = (path: string, vault: KeyVault, master: KeyHandle, each: (rows: Rows) => void): number => {
  const bad = (what: string): KmeError => new KmeError('STORE_CORRUPT', `${path} ${what}: use another backup`)
  let fd: number
  try { fd = openSync(path, 'r') } catch (cause) { throw new KmeError('STORE_UNAVAILABLE', `cannot read ${path}: ${(cause as Error).message}`, { cause }) }
  let key: KeyHandle | undefined, mac: Uint8Array = new Uint8Array(32), rows = 0
  const take = (length: number): Buffer => {
    const bytes = Buffer.alloc(length)
    if (readSync(fd, bytes) !== length) throw bad('ends too early')
    return bytes
  }
  const verify = (bytes: Uint8Array, error: () => KmeError): void => {
    const link = vault.hmac(key as KeyHandle, Buffer.concat([mac, bytes]))
    if (!timingSafeEqual(link, take(32))) throw error()
    mac = link
  }
  try {
    const header = take(HEADER_BYTES)
    if (!header.subarray(0, 8).equals(MAGIC) || header.readUInt32LE(8) !== 1) throw bad('is not a backup of this program')
    key = vault.deriveKey(master, header.subarray(16, 48), KEY_INFO.backup)
    verify(header, () => new KmeError('MASTER_KEY_WRONG', `${path} was written under another master key, or changed`))
    for (;;) {
      const length = take(4), size = length.readUInt32LE(0)
      if (size > CHUNK_BYTES + VALUE_BYTES_MAX + 1024) throw bad('is damaged')
      const body = take(size === 0 ? 8 : size)
      verify(Buffer.concat([length, body]), () => bad('was changed or is damaged'))
      if (size === 0) {
        if (body.readDoubleLE(0) !== rows) throw bad('does not hold the number of rows it tells')
        return rows
      }
      const entries = parse(body)
      rows += entries.length
      each(entries)
    }
  } finally {
    closeSync(fd)
    if (key !== undefined) vault.dropKey(key)
  }
}

const parse = (body: Buffer): Rows => {
  const rows: Rows = []
  for (let at = 0; at < body.length;) {
    const keyAt = at + OP_HEADER_BYTES, valueAt = keyAt + body.readUInt16LE(at + 1), end = valueAt + body.readUInt32LE(at + 3)
    rows.push([decodeKey(body.toString('latin1', keyAt, valueAt)), body.subarray(valueAt, end)])
    at = end
  }
  return rows
}
