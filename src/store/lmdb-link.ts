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
/** Not 0 once one of the two threads has ended: what that one has not said by then it will not say. */
export const ENDED = 3
export const CONTROL_NUMBERS = 4
/** So long a thread sleeps at most: a bell that is not heard delays, and hangs nothing. */
export const SLEEP_MS_MAX = 1_000

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
  /** Neither thread touches a file from now on. */
  | 'stopped'

/** Batches for one transaction of the data file, with the number of the last entry of the journal among them or before them. */
export type ToApplier = { readonly apply: readonly BatchMessage[], readonly entry: number } | { readonly drop: number } | 'stop'
/** An answer for each `apply`, until it has failed; 'stopped' is its last word, and its data file is closed then. */
export type FromApplier = Applied | Failed | 'stopped'

export const JOURNAL_FILE = 'journal.bin'

/** Says it, and wakes who waits for it. */
export const say = (port: MessagePort, control: Int32Array, bell: number, message: ToWriter | FromWriter | ToApplier | FromApplier): void => {
  port.postMessage(message)
  ring(control, bell)
}

/** Wakes who waits, and lets who is about to wait look once more: so it comes after what there is to see. */
export const ring = (control: Int32Array, bell: number): void => {
  Atomics.add(control, bell, 1)
  Atomics.notify(control, bell)
}
