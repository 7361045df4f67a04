/**
 * What the three threads of the store say to each other: the event loop's side (lmdb.ts), the writer of the journal (lmdb-writer.ts),
 * and the applier, which writes the data file (lmdb-applier.ts). The event loop talks to the writer only, and the writer to the applier.
 */
import type { MessagePort } from 'node:worker_threads'
import type { KmeErrorCode } from '../kernel/errors.js'

/** `control[...]` counts what was said to a thread, which can wait for it: to the writer, to the event loop, to the applier. */
export const DOORBELL = 0
export const ANSWERS = 1
export const ORDERS = 2
export const CONTROL_NUMBERS = 3

export interface WriterData { readonly folder: string, /** The last batch in the data file. */ readonly applied: number, readonly port: MessagePort, readonly applier: MessagePort, readonly control: Int32Array }
export interface ApplierData { readonly folder: string, readonly mapBytes: number, readonly port: MessagePort, readonly control: Int32Array }

/** Operations in `[from, to)` of a shared chunk. `memory` comes with the first batch of a chunk, `dropped` with its last. */
export interface BatchMessage { readonly chunk: number, readonly memory?: SharedArrayBuffer, readonly from: number, readonly to: number, readonly seq: number }
export type ToWriter = BatchMessage | { readonly drop: number } | 'stop'

export interface Failed { readonly failed: KmeErrorCode, readonly message: string }
/** Batches up to `applied` are in the data file, which every reader sees from now on. */
export interface Applied { readonly applied: number, readonly usedBytes: number, readonly freeBytes: number }

export type FromWriter =
  /** Batches up to `seq` survive a power cut. */
  | { readonly durable: number }
  | Applied
  | Failed
  | 'stopped'

/** Batches for one transaction of the data file, with the number of the last entry of the journal among them or before them. */
export type ToApplier = { readonly apply: readonly BatchMessage[], readonly entry: number } | { readonly drop: number }
export type FromApplier = Applied | Failed

export const JOURNAL_FILE = 'journal.bin'

/** Says it, and wakes who waits for it. */
export const say = (port: MessagePort, control: Int32Array, bell: number, message: ToWriter | FromWriter | ToApplier | FromApplier): void => {
  port.postMessage(message)
  Atomics.add(control, bell, 1)
  Atomics.notify(control, bell)
}
