/** One page of a walk over the data file and what lies above it in memory. */
import { keyBytes } from './key-codec.js'
import type { Lmdb } from './lmdb-batch.js'
import type { Written } from './lmdb-chunks.js'

/** Encoded keys with what was written there; a removal hides what is below. */
export type Layer = Iterable<readonly [string, Written]>

/** Encoded keys: `start` included, `end` excluded. Without `values` they come empty. */
export interface PageBounds { readonly start: string, readonly end: string, readonly reverse: boolean, readonly values: boolean, readonly limit: number }

export interface Page {
  readonly entries: readonly (readonly [string, Uint8Array])[]
  /** Where the next page starts (or, in reverse, ends); undefined after the last. */
  readonly next: string | undefined
}

const NOTHING = new Uint8Array(0)

const read = (db: Lmdb, { start, end, reverse, values, limit }: PageBounds): (readonly [string, Uint8Array])[] => {
  // `end` is excluded in both directions; in reverse LMDB starts there, and its own end is to be included.
  const bounds = reverse
    ? { start: keyBytes(end), exclusiveStart: true, end: keyBytes(start), inclusiveEnd: true, reverse, limit }
    : { start: keyBytes(start), end: keyBytes(end), limit }
  const name = (key: Buffer): string => key.toString('latin1')
  if (!values) return [...db.getKeys(bounds)].map((key) => [name(key), NOTHING] as const)
  return [...db.getRange(bounds)].map(({ key, value }) => [name(key), new Uint8Array(value)] as const)
}

/** Merges the data file with `layers`, the later ones above the earlier. Values are copies. */
export const mergePage = (db: Lmdb, layers: readonly Layer[], bounds: PageBounds): Page => {
  const { start, end, reverse, values, limit } = bounds
  if (start >= end) return { entries: [], next: undefined }
  const below = read(db, bounds)
  const merged = new Map<string, Uint8Array | undefined>(below)
  // A full page tells about keys up to its last only: the layers must not run ahead of it.
  const edge = below.length >= limit ? below.at(-1)?.[0] : undefined
  const covered = (key: string): boolean => key >= start && key < end && (edge === undefined || (reverse ? key >= edge : key <= edge))
  for (const layer of layers) for (const [key, written] of layer) if (covered(key)) merged.set(key, values || written.isRemoved ? written.read() : NOTHING)
  const entries = [...merged].filter((entry): entry is [string, Uint8Array] => entry[1] !== undefined).sort(([a], [b]) => a < b ? -1 : 1)
  if (reverse) entries.reverse()
  const rest = entries.length > limit ? (entries[limit - 1] as [string, Uint8Array])[0] : edge
  return { entries: entries.slice(0, limit), next: rest === undefined || reverse ? rest : `${rest}\0` }
}
