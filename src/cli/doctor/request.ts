import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { isIP } from 'node:net'
import { hostOf } from './connect.js'
import type { SaeAccess } from './report.js'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Owned by the caller, who wipes it where it held keys. */
  readonly body: Buffer
}

const answerBytesMax = 1_048_576

/**
 * One request of the 014 API over a connection of its own, the KME's certificate verified by TLS.
 *
 * @throws the socket's or TLS's error.
 */
export const ask = (access: SaeAccess, method: 'GET' | 'POST', path: string, body?: object): Promise<Answer> => new Promise((resolve, reject) => {
  const host = hostOf(access.url), payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const message = request({
    host, port: access.url.port === '' ? 443 : Number(access.url.port), method, path, agent: false, timeout: access.timeoutMs,
    ...isIP(host) === 0 ? { servername: host } : {},
    cert: readFileSync(access.certificateFile), key: readFileSync(access.keyFile), ca: readFileSync(access.caFile),
    headers: payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length },
  }, (response) => {
    const parts: Buffer[] = []
    let length = 0
    response.on('data', (part: Buffer) => {
      length += part.length
      if (length > answerBytesMax) message.destroy(new Error(`the answer is longer than ${answerBytesMax} bytes`))
      else parts.push(part)
    })
    response.on('error', reject)
    response.on('end', () => {
      const whole = Buffer.concat(parts)
      for (const part of parts) part.fill(0)
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: whole })
    })
  })
  message.on('timeout', () => { message.destroy(new Error(`no answer within ${access.timeoutMs / 1_000} s`)) })
  message.on('error', reject)
  message.end(payload)
})

export const keysPath = (saeId: string, method: 'status' | 'enc_keys' | 'dec_keys'): string => `/api/v1/keys/${encodeURIComponent(saeId)}/${method}`

/** `message` and details of an error body (014, clause 6.5), or ''. */
export const errorText = (answer: Answer): string => {
  try {
    const body = JSON.parse(answer.body.toString('utf8')) as { message?: unknown, details?: unknown }
    return `${typeof body.message === 'string' ? `: "${body.message}"` : ''}${body.details === undefined ? '' : ` ${JSON.stringify(body.details)}`}`
  } catch {
    return '' // An empty or foreign body says nothing; the status number does.
  }
}
