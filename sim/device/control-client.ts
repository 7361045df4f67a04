import { connect } from 'node:net'
import { KmeError } from '../../src/kernel/errors.js'

const ANSWER_BYTES_MAX = 65_536

/**
 * Sends one command to a device's control socket and returns its answer.
 *
 * @throws KmeError `DEVICE_FAULT` if no device listens there, `BAD_REQUEST` with its words if it refuses.
 */
export const tellDevice = (path: string, command: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>> => new Promise((resolve, reject) => {
  const socket = connect(path)
  let text = ''
  const fail = (why: string): void => {
    socket.destroy()
    reject(new KmeError('DEVICE_FAULT', `device control ${path}: ${why}`))
  }
  socket.setEncoding('utf8')
  socket.on('error', (error) => { fail(`${error.message}; is the device running?`) })
  socket.on('close', () => { fail('the device closed the connection without an answer') })
  socket.on('data', (part: string) => {
    text += part
    if (text.length > ANSWER_BYTES_MAX) return fail('the answer is too long')
    const end = text.indexOf('\n')
    if (end < 0) return
    let answer: unknown
    try { answer = JSON.parse(text.slice(0, end)) } catch { return fail('the answer is no JSON') }
    if (typeof answer !== 'object' || answer === null || !('ok' in answer)) return fail('the answer is no answer of a device')
    socket.removeAllListeners('close')
    socket.end()
    if (answer.ok === true) return resolve(answer as Readonly<Record<string, unknown>>)
    reject(new KmeError('BAD_REQUEST', `device: ${'error' in answer ? String(answer.error) : 'refused'}`))
  })
  socket.write(`${JSON.stringify(command)}\n`)
})
