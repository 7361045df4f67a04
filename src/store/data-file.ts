import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { KmeError } from '../kernel/errors.js'

const MAGIC = 0xbeef_c0de, VERSION = 2, NO_PAGE = 0xffff_ffff_ffff_ffffn
/** Far above any tree of this file (six levels hold 2^32 rows), and below what the library's cursors can hold. */
const DEPTH_MAX = 32
const MAP_BYTES_MAX = 1n << 47n
const FLAG_BRANCH = 1, FLAG_LEAF = 2, FLAG_META = 8
/** Places in a page: its number and flags; then in the head, behind the page's header. */
const PAGE = { number: 0, flags: 18 } as const
const HEAD = { magic: 24, version: 28, address: 32, mapBytes: 40, pageBytes: 48, depths: [54, 102], roots: [88, 136], lastPage: 144, txn: 152 } as const

/**
 * Looks at what the library follows without looking: the two heads of the data file, and the roots that the newer one
 * names. LMDB maps the file and trusts these numbers, so that a damaged one ends the process without a word, where this
 * gives a message. What lies below the roots is protected by its own seals (`qkme store check`).
 *
 * @param path  The data file; one that is not there, or has not even its heads, is left to the library.
 * @throws KmeError `STORE_CORRUPT`, `STORE_UNAVAILABLE`
 * @see lmdb 3.5.6, mdb.c: MDB_meta, MDB_page_header, mdb_env_pick_meta
 */
export const checkDataFile = (path: string, pageBytes: number): void => {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new KmeError('STORE_UNAVAILABLE', `${path} cannot be opened: ${(cause as Error).message}`, { cause })
  }
  try {
    checkHeads(file, path, pageBytes)
  } finally {
    closeSync(file)
  }
}

const checkHeads = (file: number, path: string, pageBytes: number): void => {
  const { size } = fstatSync(file)
  if (size < 2 * pageBytes) return
  const damaged = (what: string): KmeError => new KmeError('STORE_CORRUPT',
    `${path} is damaged: ${what}. Look at the disk. Move the store's folder away, and restore the last backup or begin with an empty store; the peers void their stock by themselves`)
  const page = (number: number): Buffer => {
    const bytes = Buffer.alloc(pageBytes)
    if (readSync(file, bytes, 0, pageBytes, number * pageBytes) !== pageBytes) throw damaged(`page ${number} is cut off`)
    return bytes
  }
  const heads = [page(0), page(1)]
  for (const [number, head] of heads.entries()) {
    if ((head.readUInt16LE(PAGE.flags) & FLAG_META) === 0 || head.readUInt32LE(HEAD.magic) !== MAGIC) throw damaged(`head ${number} is none`)
    if (head.readUInt16LE(HEAD.version) !== VERSION || head.readUInt32LE(HEAD.pageBytes) !== pageBytes) throw damaged(`head ${number} is not of this form`)
  }
  const [first, second] = heads as [Buffer, Buffer]
  const newer = first.readBigUInt64LE(HEAD.txn) < second.readBigUInt64LE(HEAD.txn) ? second : first
  const mapBytes = newer.readBigUInt64LE(HEAD.mapBytes), lastPage = newer.readBigUInt64LE(HEAD.lastPage)
  if (newer.readBigUInt64LE(HEAD.address) !== 0n || mapBytes > MAP_BYTES_MAX || (lastPage + 1n) * BigInt(pageBytes) > MAP_BYTES_MAX) throw damaged('the sizes in its head cannot be')
  for (const [i, place] of HEAD.roots.entries()) {
    const root = newer.readBigUInt64LE(place), depth = newer.readUInt16LE(HEAD.depths[i]!)
    if (depth > DEPTH_MAX || (depth === 0) !== (root === NO_PAGE)) throw damaged(`a tree of depth ${depth} cannot be`)
    if (root === NO_PAGE) continue // An empty tree.
    if (root > lastPage) throw damaged(`page ${root} lies behind the last one`)
    if ((root + 1n) * BigInt(pageBytes) > BigInt(size)) throw damaged(`it ends at ${size} bytes, before page ${root}`)
    const at = page(Number(root))
    if (at.readBigUInt64LE(PAGE.number) !== root || (at.readUInt16LE(PAGE.flags) & (FLAG_BRANCH | FLAG_LEAF)) === 0) throw damaged(`page ${root} is not what its head says`)
  }
}
