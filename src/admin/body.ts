import type { IncomingMessage } from 'node:http'
import { KmeError } from '../kernel/errors.js'

/** Acts are small; anything longer is a mistake or an attack. */
export const BODY_BYTES_MAX = 65_536

/**
 * Reads a whole body of at most 64 KiB. The server's own timeouts bound how long it may take.
 *
 * @throws KmeError `BODY_TOO_LARGE`; `BAD_REQUEST` if the caller goes away.
 */
export const readBody = (request: IncomingMessage): Promise<Buffer> => new Promise((resolve, reject) => {
  const parts: Buffer[] = []
  let length = 0
  const tooLarge = (): void => { reject(new KmeError('BODY_TOO_LARGE', `the body is longer than ${BODY_BYTES_MAX} bytes`)) }
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) { tooLarge(); return }
  request.on('data', (part: Buffer) => {
    length += part.length
    if (length > BODY_BYTES_MAX) { request.pause(); tooLarge() } else parts.push(part)
  })
  request.on('end', () => { resolve(Buffer.concat(parts)) })
  request.on('error', () => { reject(new KmeError('BAD_REQUEST', 'the body did not arrive whole')) })
  request.on('aborted', () => { reject(new KmeError('BAD_REQUEST', 'the body did not arrive whole')) })
})

export type Body = Readonly<Record<string, unknown>>

/** @throws KmeError `BAD_REQUEST` unless the text is one JSON object; nothing at all counts as `{}`. */
export const parseBody = (bytes: Uint8Array): Body => {
  if (bytes.length === 0) return {}
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new KmeError('BAD_REQUEST', 'the body is not valid JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new KmeError('BAD_REQUEST', 'the body must be a JSON object')
  return value as Body
}

/** @throws KmeError `BAD_REQUEST` naming the first member that is not among `known`. */
export const onlyMembers = (body: Body, known: readonly string[]): void => {
  const stranger = Object.keys(body).find((name) => !known.includes(name))
  if (stranger !== undefined) {
    throw new KmeError('BAD_REQUEST', `unknown member ${JSON.stringify(stranger.slice(0, 64))}; ${known.length === 0 ? 'none is expected' : `expected: ${known.join(', ')}`}`)
  }
}

/** @throws KmeError `BAD_REQUEST` if the member is not text of 1 to `max` characters. */
export const textMember = (body: Body, name: string, max: number): string => {
  const value = body[name]
  if (typeof value !== 'string' || value.length < 1 || value.length > max) throw new KmeError('BAD_REQUEST', `${name} must be text of 1 to ${max} characters`)
  return value
}
