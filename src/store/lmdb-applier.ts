/**
 * The applier thread of the store: the only place that writes and syncs the data file. A thread of its own, because a commit syncs
 * twice, and a flush, which needs only the journal's one write, must not wait for that.
 */
import { statfsSync } from 'node:fs'
import { isMainThread, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { storeFailure } from './batch-format.js'
import { applyBatch, openLmdb, usedBytes, type Lmdb } from './lmdb-batch.js'
import { DOORBELL, ORDERS, say, type ApplierData, type BatchMessage, type ToApplier } from './lmdb-link.js'
import { ChunkMemory } from './lmdb-memory.js'

const SCRATCH_BYTES = 2 << 20

/** In the order of the orders, until the thread is ended or the disk refuses a write. */
const run = ({ folder, mapBytes, port, control }: ApplierData): void => {
  const db = openLmdb(folder, mapBytes), memory = new ChunkMemory(SCRATCH_BYTES)
  for (;;) {
    const seen = Atomics.load(control, ORDERS), order = receiveMessageOnPort(port)?.message as ToApplier | undefined
    if (order === undefined) Atomics.wait(control, ORDERS, seen)
    else if ('drop' in order) memory.drop(order.drop)
    else say(port, control, DOORBELL, { applied: apply(db, memory, order.apply, order.entry), ...room(db, folder) })
  }
}

const apply = (db: Lmdb, memory: ChunkMemory, batches: readonly BatchMessage[], entry: number): number => {
  for (const batch of batches) memory.know(batch)
  applyBatch(db, memory.partsOf(batches), entry)
  return (batches.at(-1) as BatchMessage).seq
}

const room = (db: Lmdb, folder: string): { readonly usedBytes: number, readonly freeBytes: number } => {
  const { bavail, bsize } = statfsSync(folder)
  return { usedBytes: usedBytes(db), freeBytes: bavail * bsize }
}

const main = (data: ApplierData): void => {
  try { run(data) } catch (cause) {
    const { code, message } = storeFailure(cause, `writing to the store in ${data.folder}`)
    say(data.port, data.control, DOORBELL, { failed: code, message })
  }
}

if (!isMainThread) main(workerData as ApplierData)
