/** The schema's number and the way from older ones to it. */
import { KmeError } from '../kernel/errors.js'
import type { Kv, KvWriter } from './kv.js'
import { readU32, u32 } from './numbers.js'

/** A step from schema `to - 1` to schema `to`: pure, works on the rows alone, runs in one transaction with the new number. */
export interface Migration { readonly to: number, readonly what: string, readonly run: (tx: KvWriter) => void }

/** The schema that this program writes. */
export const SCHEMA = 3

/** Every step there is. A new one goes to the end, raises SCHEMA, and gets a test with rows of the schema before it. */
export const migrations: readonly Migration[] = [
  // Rows of schema 1 stay as they are, are read beside the others (src/pool/claim-rows.ts), and go with their blocks.
  { to: 2, what: 'claims of neighbouring keys share a row', run: () => {} },
  // The same for records that have rows of their own, and for blocks that do not say where theirs lie (src/pool/frame-rows.ts).
  { to: 3, what: 'records that come together share a row', run: () => {} },
]

const SCHEMA_KEY = ['meta', 'schema'] as const

/** The store's schema, or undefined in an empty store. */
export const schemaOf = (kv: Pick<Kv, 'get'>): number | undefined => {
  const bytes = kv.get(SCHEMA_KEY)
  return bytes === undefined ? undefined : readU32(bytes)
}

export const putSchema = (tx: KvWriter, schema: number): void => { tx.put(SCHEMA_KEY, u32(schema)) }

/**
 * Brings a store to `target`, one durable transaction per step, so that a crash between two is harmless.
 * @returns what was done, for the log.
 * @throws KmeError `STORE_NEWER` (nothing is touched), `STORE_CORRUPT` if a step is missing.
 */
export const migrate = async (kv: Kv, target = SCHEMA, steps: readonly Migration[] = migrations): Promise<string[]> => {
  const found = schemaOf(kv) ?? target
  if (found > target) {
    throw new KmeError('STORE_NEWER', `the store has schema ${found}, this program knows up to ${target}. Use the release that wrote it, or a newer one; it is not changed`)
  }
  const done: string[] = []
  for (let to = found + 1; to <= target; to++) {
    const step = steps.find((s) => s.to === to)
    if (step === undefined) throw new KmeError('STORE_CORRUPT', `there is no way from schema ${to - 1} to ${to}. Update in smaller steps of releases`)
    kv.transact((tx) => { step.run(tx); putSchema(tx, to) })
    await kv.flushed()
    done.push(`${to}: ${step.what}`)
  }
  return done
}
