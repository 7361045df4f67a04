/** Started by lmdb.test.ts: writes transactions for ever, and says what is durable, until it is killed. */
import { openLmdbKv } from '../../src/store/lmdb.js'

const kv = await openLmdbKv({ folder: process.argv[2] as string, mapBytes: 1 << 28, reserveBytes: 0 })
const row = (n: number, length: number): Uint8Array => new Uint8Array(length).fill(n & 0xff)
let n = [...kv.keys({ start: ['n'], end: ['o'], reverse: true, limit: 1 })].map((key) => key[1] as number)[0] ?? 0
process.stdout.write('0\n')
for (;;) {
  for (let i = 0; i < 20; i++) {
    n++
    // Small ones go through the journal, each 50th group past it: both ways must keep one order.
    kv.transact((tx) => { tx.put(['n', n], row(n, n % 1000 < 20 ? 4060 : 40)); tx.put(['pair', n], row(n, 8)); if (n > 2000) tx.remove(['pair', n - 2000]) })
  }
  const upTo = n
  if (n % 60 === 0) await kv.flushed()
  else await new Promise((resolve) => { setImmediate(resolve) })
  if (n % 60 === 0) process.stdout.write(`${upTo}\n`)
}
