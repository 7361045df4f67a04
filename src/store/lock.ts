/**
 * One process per store. Two kernel locks that end with their holder, however it ends:
 *  - an abstract Unix socket named after the folder's device and inode: exact among processes of one network namespace;
 *  - a Unix socket file in the folder, for processes in other namespaces (containers) that share it: whoever can
 *    connect knows that the holder lives. A stale one is replaced, and the replacement counts only if it is still there
 *    after a pause longer than any gap between the look and the replacement (Fischer's algorithm).
 */
import { closeSync, linkSync, openSync, statSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { KmeError } from '../kernel/errors.js'
import type { Random } from '../kernel/random.js'
import { systemClock } from '../kernel/system-clock.js'

export interface StoreLock { release (): Promise<void> }

const SOCKET_FILE = 'lock.sock'
const SETTLE_MS = 100
const ANSWER_MS = 300

/** @throws KmeError `STORE_LOCKED` naming the holder's process id if it tells; `STORE_UNAVAILABLE` */
export const lockStore = async (folder: string, random: Random): Promise<StoreLock> => {
  const { dev, ino } = statSync(folder, { bigint: true })
  const guard = await listen(`\0qkme-store-${dev}-${ino}`)
  if (guard === undefined) throw lockedError(folder, await holderOf(join(folder, SOCKET_FILE)))
  // Socket paths have at most 107 bytes; through the open folder any path fits.
  const folderFd = openSync(folder, 'r')
  try {
    const socket = await claimFile(folder, `/proc/self/fd/${folderFd}`, random)
    guard.unref() // Until here it kept the process alive: clocks alone do not.
    let released = false
    return {
      release: async () => {
        if (released) return
        released = true
        await socket.release()
        await close(guard)
      },
    }
  } catch (error) {
    await close(guard)
    throw error
  } finally {
    closeSync(folderFd)
  }
}

const claimFile = async (folder: string, through: string, random: Random): Promise<StoreLock> => {
  const own = `lock.${Buffer.from(random.bytes(6)).toString('hex')}.sock`, path = join(folder, SOCKET_FILE)
  const server = await listen(`${through}/${own}`)
  if (server === undefined) throw new KmeError('STORE_UNAVAILABLE', `cannot make a lock in ${folder}`)
  const { ino } = statSync(join(folder, own))
  try {
    for (let round = 0; round < 5; round++) {
      if (tryLink(join(folder, own), path)) {
        if (round > 0) await pause(SETTLE_MS)
        if (inodeOf(path) === ino) {
          unlinkSync(join(folder, own))
          server.unref()
          return { release: async () => { if (inodeOf(path) === ino) unlinkSync(path); await close(server) } }
        }
      }
      const holder = await holderOf(path)
      if (holder !== undefined) throw lockedError(folder, holder)
      unlinkIfThere(path)
    }
    throw lockedError(folder, 'another process that is starting')
  } catch (error) {
    unlinkIfThere(join(folder, own))
    await close(server)
    throw error
  }
}

const lockedError = (folder: string, holder: string | undefined): KmeError =>
  new KmeError('STORE_LOCKED', `${folder} is in use by ${holder ?? 'another process'}. Stop it first, or use another folder`)

/** Who holds the socket file; undefined if nobody answers to a connection. */
const holderOf = (path: string): Promise<string | undefined> => new Promise((resolve) => {
  let text = '', connected = false
  const socket = connect(path)
  const stop = systemClock.after(ANSWER_MS, () => { done() })
  const done = (): void => {
    stop()
    socket.destroy()
    resolve(connected ? (/^\d{1,10}$/.test(text) ? `process ${text}` : 'another process') : undefined)
  }
  socket.on('connect', () => { connected = true })
  socket.on('data', (chunk: Buffer) => { if (text.length < 32) text += chunk.toString('latin1') })
  socket.on('end', done)
  socket.on('error', done)
})

/** A server that tells its process id; undefined if the address is taken. */
const listen = (path: string): Promise<Server | undefined> => new Promise((resolve, reject) => {
  const server = createServer((socket) => {
    socket.on('error', () => { socket.destroy() })
    socket.end(String(process.pid), () => { socket.destroy() }) // Whoever stays connected must not keep the lock from being given back.
  })
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(undefined)
    else reject(new KmeError('STORE_UNAVAILABLE', `cannot lock the store: ${error.message}`, { cause: error }))
  })
  server.listen(path, () => { resolve(server) })
})

const close = (server: Server): Promise<void> => new Promise((resolve) => { server.close(() => { resolve() }) })
const pause = (ms: number): Promise<void> => new Promise((resolve) => { systemClock.after(ms, resolve) })

const tryLink = (from: string, to: string): boolean => {
  try { linkSync(from, to) } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw new KmeError('STORE_UNAVAILABLE', `cannot lock the store: ${(error as Error).message}`, { cause: error })
  }
  return true
}

const unlinkIfThere = (path: string): void => {
  try { unlinkSync(path) } catch (error) { if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error }
}

const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino
