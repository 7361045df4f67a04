/** The producers of docs/device-guide.md: compiled and run as an engineer would. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { openRing } from '../../src/device/ring-adapter.js'
import { bench, folder, LINK, payload, until } from '../native/ring-support.js'
import { Store } from '../contract/adapter-suite.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const FRAMES = 600
const key = Buffer.concat(Array.from({ length: FRAMES }, (_, n) => payload(n, 3_968)))

const run = (t: Test, command: string, args: readonly string[]): { child: ChildProcess, ended: Promise<string> } => {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  child.stdin!.on('error', () => {}) // It may have been killed.
  child.stdin!.end(key)
  let text = ''
  child.stdout!.on('data', (part: Buffer) => { text += part.toString() })
  return { child, ended: new Promise((resolve) => { child.once('close', () => { resolve(text) }) }) }
}

const end = (t: Test, dir: string, name: string): { store: Store, path: string } => {
  const path = join(dir, name), store = new Store({ open: (deps) => openRing({ path, kind: 'memory', slots: 64 }, deps), device: undefined as never }, dir, bench())
  t.teardown(() => { store.close() })
  return { store, path }
}

t.test('the producers in C and in TypeScript give both ends the same key under the same names, over a restart of the KME', async (t) => {
  const dir = folder(t), binary = join(dir, 'producer')
  execFileSync(process.env['CC'] ?? 'cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', binary, join(root, 'examples/device/producer.c')])
  const a = end(t, dir, 'a'), b = end(t, dir, 'b')
  const inC = run(t, binary, [a.path, String(LINK), '21000', '1000'])
  const inTs = run(t, process.execPath, [join(root, 'dist/examples/device/producer.js'), b.path, String(LINK), '21000', '1000'])
  for (const { store } of [a, b]) {
    store.open()
    await until(() => store.frames.size > 50, 'frames')
    store.close()
    store.open()
  }
  t.same(await Promise.all([inC.ended, inTs.ended]), new Array(2).fill(`${FRAMES} frames are stored; other key goes on from frame ${1_000 + FRAMES}\n`))
  t.same([a.store.frames.size, b.store.frames.size, a.store.twice, b.store.twice], [FRAMES, FRAMES, 0, 0])
  t.same([...a.store.frames].sort(), [...b.store.frames].sort(), 'names and fingerprints')
  t.same([a, b].map(({ store }) => store.kinds().filter((kind) => kind === 'quarantined' || kind === 'bad-frame')), [[], []])
})
