import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Kv } from '../../src/store/kv.js'
import { openLmdbKv } from '../../src/store/lmdb.js'

// What waits for the data file, and what does not: another process holds its write lock meanwhile, so that nothing gets into it.

const SMALL = 100, LARGE = 200_000
/** The journal's contents go to the data file after 200 ms: by then that has begun. Only a fault of the store could be missed by a slow machine. */
const APPLYING_MS = 400

interface Teardown { teardown (fn: () => void): void }

/** @returns ends the hold. */
const hold = async (t: Teardown, folder: string): Promise<() => Promise<void>> => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./lmdb-holder.js', import.meta.url)), folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  await once(child.stdout, 'data')
  return async () => {
    child.stdin.end('.')
    await once(child, 'close')
  }
}

interface Write { readonly n: number, isDurable: boolean, readonly durable: Promise<void> }

/** Rows that are written one after the other, each in a group of its own. */
class Rows {
  readonly all: Write[] = []
  constructor (private readonly kv: Kv) {}

  async put (bytes: number): Promise<Write> {
    const n = this.all.length + 1
    this.kv.transact((tx) => { tx.put(['n', n], new Uint8Array(bytes).fill(n)) })
    const write: Write = { n, isDurable: false, durable: this.kv.flushed().then(() => { write.isDurable = true }) }
    this.all.push(write)
    await setTimeout(10) // The next one is a turn of its own, and this one is on its way.
    return write
  }

  get durable (): number[] { return this.all.filter((write) => write.isDurable).map(({ n }) => n) }
}

const opened = async (t: Teardown): Promise<{ folder: string, kv: Kv, rows: Rows }> => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-order-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const kv = await openLmdbKv({ folder, mapBytes: 1 << 28, reserveBytes: 0 })
  kv.transact((tx) => { tx.put(['first'], Uint8Array.of(1)) })
  while (kv.stats().pendingBytes > 0) await setTimeout(5) // The data file's thread has begun: it takes the lock then, too.
  return { folder, kv, rows: new Rows(kv) }
}

const isWhole = async (folder: string, count: number): Promise<boolean> => {
  const kv = await openLmdbKv({ folder, mapBytes: 1 << 28, reserveBytes: 0 })
  const found = [...kv.range({ start: ['n'], end: ['o'] })]
  await kv.close()
  return found.length === count && found.every(({ key, value }) => value.every((byte) => byte === key[1]))
}

t.test('small groups are durable with the journal, while those before them are on their way to the data file', async (t) => {
  const { folder, kv, rows } = await opened(t), release = await hold(t, folder)
  await (await rows.put(SMALL)).durable
  await setTimeout(APPLYING_MS)
  for (let i = 0; i < 5; i++) await (await rows.put(SMALL)).durable // Would not come.
  t.same(rows.durable, [1, 2, 3, 4, 5, 6])
  await release()
  await kv.close()
  t.ok(await isWhole(folder, 6))
})

t.test('small groups wait for a large one before them: they become durable in their order', async (t) => {
  const { folder, kv, rows } = await opened(t), release = await hold(t, folder)
  await (await rows.put(SMALL)).durable
  await rows.put(LARGE)
  for (let i = 0; i < 3; i++) await rows.put(SMALL)
  await setTimeout(APPLYING_MS)
  t.same(rows.durable, [1], 'a later one that is on disk without an earlier one would be a hole after a power cut')
  await release()
  await Promise.all(rows.all.map(({ durable }) => durable))
  await kv.close()
  t.ok(await isWhole(folder, 5))
})

t.test('small groups wait when both halves of the journal are full, and lose nothing', async (t) => {
  const { folder, kv, rows } = await opened(t), release = await hold(t, folder)
  await (await rows.put(SMALL)).durable
  await setTimeout(APPLYING_MS) // The first half is on its way with one entry in it.
  while (rows.all.length < 64) {
    const write = await rows.put(40_000)
    // On a slow disk two would become one group, too large for the journal.
    if (rows.durable.length >= write.n - 1) await Promise.race([write.durable, setTimeout(APPLYING_MS)])
  }
  await setTimeout(APPLYING_MS)
  const durable = rows.durable.length
  t.ok(durable > 40 && durable < 64, `${durable} of 64 are durable: as many as a half holds`)
  t.same(rows.durable, rows.durable.map((_, i) => i + 1), 'the first of them')
  await release()
  await Promise.all(rows.all.map((write) => write.durable))
  await kv.close()
  t.ok(await isWhole(folder, 64))
})
