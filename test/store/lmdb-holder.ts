/** Started by lmdb-order.test.ts: holds the write lock of a data file from when it says so until a byte comes. */
import { readSync, writeSync } from 'node:fs'
import { openLmdb } from '../../src/store/lmdb-batch.js'

const db = openLmdb(process.argv[2] as string, 1 << 28)
db.transactionSync(() => {
  writeSync(1, 'held')
  readSync(0, Buffer.alloc(1))
})
await db.close()
