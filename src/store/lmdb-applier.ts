/**
 * The applier thread of the store: the only place that writes and syncs the data file. A thread of its own, because a commit syncs
 * twice, and a flush, which needs only the journal's one write, must not wait for that.
 */
import { statfsSync } from 'node:fs'
import { isMainThread, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { storeFailure } from './batch-format.js'
import { applyBatch, openLmdb, usedBytes, type Lmdb } from './lmdb-batch.js'
import { DOORBELL, ENDED, ORDERS, say, SLEEP_MS_MAX, type ApplierData, type BatchMessage, type ToApplier } from './lmdb-link.js'
import { ChunkMemory } from './lmdb-memory.js'

const SCRATCH_BYTES = 2 << 20

/** In the order of the orders, until it is told to stop, the writer has ended, or the disk refuses a write. */
const run = (db: Lmdb, { folder, port, control }: ApplierData): void => {
  const memory = new ChunkMemory(SCRATCH_BYTES)
  for (;;) {
    const seen = Atomics.load(control, ORDERS), hasWriter = Atomics.load(control, ENDED) === 0
    const order = receiveMessageOnPort(port)?.message as ToApplier | undefined
    if (order === 'stop') return
    if (order === undefined) {
      if (!hasWriter) return
      Atomics.wait(control, ORDERS, seen, SLEEP_MS_MAX)
    } else if ('drop' in order) memory.drop(order.drop)
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

const main = async (data: ApplierData): Promise<void> => {
  let db: Lmdb | undefined
  try {
    db = openLmdb(data.folder, data.mapBytes)
    run(db, data)
  } catch (cause) {
    const { code, message } = storeFailure(cause, `writing to the store in ${data.folder}`)
    say(data.port, data.control, DOORBELL, { failed: code, message })
  }
  await db?.close()
  say(data.port, data.control, DOORBELL, 'stopped')
}

if (!isMainThread) await main(workerData as ApplierData)
