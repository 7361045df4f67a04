import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { systemRandom } from '../../src/kernel/system-random.js'
import { lockStore } from '../../src/store/lock.js'

const folderOf = (t: { teardown (fn: () => void): void }): string => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-lock-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}
const child = async (folder: string): Promise<{ process: ChildProcess, said: string }> => {
  const holder = spawn(process.execPath, [fileURLToPath(new URL('./lock-holder.js', import.meta.url)), folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = await once(holder.stdout, 'data') as [Buffer]
  return { process: holder, said: said.toString() }
}
const end = async (process: ChildProcess): Promise<void> => {
  const exited = once(process, 'exit')
  process.kill('SIGKILL')
  await exited
}

t.test('one process at a time, also within one', async (t) => {
  const folder = folderOf(t)
  const lock = await lockStore(folder, systemRandom)
  await t.rejects(lockStore(folder, systemRandom), { code: 'STORE_LOCKED', message: new RegExp(`process ${process.pid}`) })
  const other = await child(folder)
  t.equal(other.said, 'STORE_LOCKED')
  await end(other.process)
  await lock.release()
  t.same(readdirSync(folder), [])
  await (await lockStore(folder, systemRandom)).release()
})

t.test('a lock is given back while somebody stays connected to it', async (t) => {
  const folder = folderOf(t), lock = await lockStore(folder, systemRandom), { dev, ino } = statSync(folder, { bigint: true })
  const stays = await Promise.all([`\0qkme-store-${dev}-${ino}`, join(folder, 'lock.sock')].map(async (path) => {
    const socket = connect({ path, allowHalfOpen: true })
    socket.on('error', () => undefined) // That it is closed in its face is what is wanted.
    t.equal(String((await once(socket, 'data'))[0]), String(process.pid))
    return socket
  }))
  await lock.release()
  for (const socket of stays) socket.destroy()
  await (await lockStore(folder, systemRandom)).release()
})

t.test('a lock ends with a killed holder', async (t) => {
  const folder = folderOf(t)
  const holder = await child(folder)
  t.equal(holder.said, 'locked')
  await t.rejects(lockStore(folder, systemRandom), { code: 'STORE_LOCKED', message: new RegExp(`process ${holder.process.pid}`) })
  await end(holder.process)
  t.ok(existsSync(join(folder, 'lock.sock')), 'the killed process left its file')
  await (await lockStore(folder, systemRandom)).release()
  t.notOk(existsSync(join(folder, 'lock.sock')))
})

t.test('many that start at once over a dead holder\'s file: one wins', async (t) => {
  const folder = folderOf(t)
  await end((await child(folder)).process)
  const children = await Promise.all(Array.from({ length: 4 }, () => child(folder)))
  t.equal(children.filter(({ said }) => said === 'locked').length, 1)
  t.equal(children.filter(({ said }) => said === 'STORE_LOCKED').length, 3)
  await Promise.all(children.map(({ process }) => end(process)))
})

t.test('a holder in another network namespace is seen by its file', async (t) => {
  const folder = folderOf(t)
  const server = createServer((socket) => { socket.end('4711') }).listen(join(folder, 'lock.sock'))
  await once(server, 'listening')
  await t.rejects(lockStore(folder, systemRandom), { code: 'STORE_LOCKED', message: /process 4711/ })
  server.close()
  writeFileSync(join(folder, 'lock.sock'), 'no socket at all')
  await (await lockStore(folder, systemRandom)).release()
})
