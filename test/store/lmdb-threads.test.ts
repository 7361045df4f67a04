import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Kv } from '../../src/store/kv.js'
import { openLmdbKv } from '../../src/store/lmdb.js'

// The threads of the store at their start and their end, and when one of them dies.

interface Teardown { teardown (fn: () => void): void }
interface Threads { readonly applier: Worker, readonly writer: Worker, /** Exit codes, applier's and writer's. */ readonly ended: Promise<readonly unknown[]> }

const folderOf = (t: Teardown): string => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-threads-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

const put = (kv: Kv, n: number, bytes = 100): void => { kv.transact((tx) => { tx.put(['n', n], new Uint8Array(bytes).fill(n)) }) }

/** The first write, of `first`, starts them. */
const opened = async (folder: string, first: number, patienceMs?: number): Promise<{ readonly kv: Kv } & Threads> => {
  const started: Worker[] = [], note = (worker: Worker): void => { started.push(worker) }
  process.on('worker', note)
  const kv = await openLmdbKv({ folder, mapBytes: 1 << 28, reserveBytes: 0, ...(patienceMs === undefined ? {} : { patienceMs }) })
  put(kv, first)
  while (started.length < 2) await setImmediate() // It is told a little later.
  process.off('worker', note)
  for (const worker of started) worker.ref() // So that the test can wait for their end.
  const [applier, writer] = started as [Worker, Worker]
  return { kv, applier, writer, ended: Promise.all(started.map(async (worker) => (await once(worker, 'exit'))[0] as unknown)) }
}

const isIdle = async (kv: Kv): Promise<void> => { while (kv.stats().pendingBytes > 0) await setTimeout(5) }
const rows = async (folder: string): Promise<unknown[]> => {
  const kv = await openLmdbKv({ folder, mapBytes: 1 << 28, reserveBytes: 0 }), found = [...kv.keys({ start: ['n'], end: ['o'] })].map((key) => key[1])
  await kv.close()
  return found
}

const LARGE = 200_000

t.test('closed while its threads are starting: each ends by itself, none is ended within the library', async (t) => {
  const folder = folderOf(t), terminated = t.capture(Worker.prototype, 'terminate')
  for (let n = 1; n <= 3; n++) {
    const { kv, ended } = await opened(folder, n)
    await Promise.all([kv.close(), kv.close()])
    t.same(await ended, [0, 0])
  }
  t.same(terminated(), [])
  t.same(await rows(folder), [1, 2, 3])
})

for (const name of ['applier', 'writer'] as const) {
  t.test(`the ${name} dies: what waits is told, and the store closes`, async (t) => {
    const folder = folderOf(t), threads = await opened(folder, 1), { kv, ended } = threads
    await kv.flushed()
    await isIdle(kv)
    const dead = threads[name].terminate() // It waits for work, outside of the library.
    put(kv, 2, LARGE)
    await t.rejects(kv.flushed(), { code: 'STORE_UNAVAILABLE', message: /ended without a word. Start again/ })
    t.throws(() => { put(kv, 3) }, { code: 'STORE_UNAVAILABLE' })
    await dead
    await kv.close()
    await ended
    t.same((await rows(folder))[0], 1)
  })
}

/** Another process holds the data file's lock. @returns ends that. */
const hold = async (t: Teardown, folder: string): Promise<() => void> => {
  const holder = spawn(process.execPath, [fileURLToPath(new URL('./lmdb-holder.js', import.meta.url)), folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => { holder.kill('SIGKILL') })
  await once(holder.stdout, 'data')
  return () => { holder.stdin.end('.') }
}

t.test('a disk that takes nothing: the close gives up and says so; what was durable is there, and nobody stays behind', async (t) => {
  const folder = folderOf(t), { kv, ended } = await opened(folder, 1, 300)
  await kv.flushed()
  await isIdle(kv)
  const release = await hold(t, folder)
  put(kv, 2)
  await kv.flushed()
  put(kv, 3, LARGE)
  const flushed = t.rejects(kv.flushed(), { code: 'STORE_UNAVAILABLE' })
  await t.rejects(kv.close(), { code: 'STORE_UNAVAILABLE', message: /taken nothing for 0.3 s: check it/ })
  await flushed
  t.throws(() => { put(kv, 4) }, { code: 'STORE_UNAVAILABLE' })
  release()
  t.same(await ended, [0, 0])
  t.same(await rows(folder), [1, 2, 3])
})

t.test('a disk that takes nothing: more than 32 MiB on their way end the store, and only one call waits for that', async (t) => {
  const folder = folderOf(t), { kv, ended } = await opened(folder, 1, 300), mebibyte = 1 << 20
  await kv.flushed()
  await isIdle(kv)
  const release = await hold(t, folder)
  let n = 2
  t.throws(() => { for (; n < 60; n++) put(kv, n, mebibyte) }, { code: 'STORE_UNAVAILABLE', message: /taken nothing for 0.3 s/ })
  const waits = t.capture(Atomics, 'wait')
  t.throws(() => { put(kv, n) }, { code: 'STORE_UNAVAILABLE', message: /taken nothing for 0.3 s/ })
  t.same(waits(), [], 'refused at once')
  await t.rejects(kv.flushed(), { code: 'STORE_UNAVAILABLE' })
  release()
  await kv.close()
  t.same(await ended, [0, 0])
  t.ok(n > 20 && n < 40, `${n - 2} of a MiB each, in chunks of 1.25 MiB`)
})
