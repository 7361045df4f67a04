/** What the event loop's side of the store (lmdb.ts) and its writer thread (lmdb-writer.ts) say to each other. */
import type { MessagePort } from 'node:worker_threads'
import type { KmeErrorCode } from '../kernel/errors.js'

/** `control[DOORBELL]` counts messages to the writer, `control[ANSWERS]` those from it: each side can wait on one. */
export const DOORBELL = 0
export const ANSWERS = 1

export interface WriterData { readonly folder: string, readonly mapBytes: number, readonly port: MessagePort, readonly control: Int32Array }

/** Operations in `[from, to)` of a shared chunk. `memory` comes with the first batch of a chunk, `dropped` with its last. */
export interface BatchMessage { readonly chunk: number, readonly memory?: SharedArrayBuffer, readonly from: number, readonly to: number, readonly seq: number }
export type ToWriter = BatchMessage | { readonly drop: number } | 'stop'

export type FromWriter =
  /** Batches up to `seq` survive a power cut. */
  | { readonly durable: number }
  /** Batches up to `seq` are in the data file, which every reader sees from now on. */
  | { readonly applied: number, readonly usedBytes: number, readonly freeBytes: number }
  | { readonly failed: KmeErrorCode, readonly message: string }
  | 'stopped'

export const JOURNAL_FILE = 'journal.bin'
