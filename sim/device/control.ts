import { lstatSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { KmeError } from '../../src/kernel/errors.js'
import { parseCommand, type Command } from './faults.js'

const CLIENTS_MAX = 4
const LINE_BYTES_MAX = 4_096

const answer = (socket: Socket, body: Record<string, unknown>): void => {
  if (!socket.destroyed) socket.write(`${JSON.stringify(body)}\n`)
}

const onLine = (socket: Socket, line: string, handle: (command: Command) => Record<string, unknown>): void => {
  if (line.trim() === '') return
  try {
    answer(socket, { ok: true, ...handle(parseCommand(line)) })
  } catch (error) {
    if (!(error instanceof KmeError)) throw error
    answer(socket, { ok: false, error: error.message })
  }
}

const serve = (socket: Socket, handle: (command: Command) => Record<string, unknown>): void => {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('error', () => { socket.destroy() }) // A client that went away is no fault of the device.
  socket.on('data', (part: string) => {
    const lines = (rest + part).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(socket, line, handle)
    if (rest.length <= LINE_BYTES_MAX) return
    answer(socket, { ok: false, error: `a command has at most ${LINE_BYTES_MAX} bytes` })
    socket.end()
  })
}

const removeStale = (path: string): void => {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new KmeError('CONFIG_INVALID', `--control ${path}: something that is not a socket is there; remove it`)
  unlinkSync(path)
}

/**
 * Listens for commands, one JSON object a line, each answered by one line. At most 4 clients. The socket's mode is 0600.
 * @throws KmeError `CONFIG_INVALID`.
 */
export const openControl = async (path: string, handle: (command: Command) => Record<string, unknown>): Promise<Server> => {
  removeStale(path)
  const server = createServer((socket) => { serve(socket, handle) })
  server.maxConnections = CLIENTS_MAX
  const before = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => { reject(new KmeError('CONFIG_INVALID', `--control ${path}: ${cause.message}`, { cause })) })
      server.listen(path, resolve)
    })
  } finally { process.umask(before) }
  return server
}
