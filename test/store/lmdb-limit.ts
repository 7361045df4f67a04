/** Started by lmdb.test.ts under a limit of the file size: what a store does whose disk refuses a write. */
import { openLmdbKv } from '../../src/store/lmdb.js'

const codeOf = (error: unknown): string => (error as { code: string }).code
process.on('SIGXFSZ', () => undefined)
const kv = await openLmdbKv({ folder: process.argv[2] as string, mapBytes: 1 << 28, reserveBytes: 0 })
kv.transact((tx) => { tx.put(['before'], Uint8Array.of(1)) })
await kv.flushed()
kv.transact((tx) => { for (let n = 0; n < 70; n++) tx.put(['big', n], new Uint8Array(100_000)) })
let message = ''
const flushed = await kv.flushed().then(() => 'ok', (error: Error) => { message = error.message; return codeOf(error) })
let transact = 'ok'
try { kv.transact((tx) => { tx.put(['after'], Uint8Array.of(1)) }) } catch (error) { transact = codeOf(error) }
const again = await kv.flushed().then(() => 'ok', codeOf)
await kv.close()
process.stdout.write(JSON.stringify({ flushed, transact, again, message }))
