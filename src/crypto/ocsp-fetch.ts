import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Clock } from '../kernel/time.js'

/** Far above any answer about one certificate. */
const ANSWER_BYTES_MAX = 65_536

/**
 * Posts a request to an OCSP responder (RFC 6960, appendix A) and gives its answer, unverified. Redirects are not followed.
 *
 * @param url  http: or https:; plain http is usual, for the answer is signed.
 * @throws Error (the promise rejects): unreachable, silent for `timeoutMs` in all, another status than 200, too long.
 */
export const fetchOcsp = (url: string, body: Uint8Array, timeoutMs: number, clock: Clock): Promise<Uint8Array> => new Promise((resolve, reject) => {
  const send = url.startsWith('https:') ? requestHttps : requestHttp
  const message = send(url, {
    method: 'POST', agent: false,
    headers: { 'content-type': 'application/ocsp-request', 'content-length': body.length, accept: 'application/ocsp-response', 'user-agent': 'qkme' },
  })
  const cancel = clock.after(timeoutMs, () => { message.destroy(new Error(`no answer within ${timeoutMs} ms`)) })
  const fail = (error: Error): void => { cancel(); message.destroy(); reject(error) }
  message.on('error', fail)
  message.on('response', (response) => {
    const parts: Buffer[] = []
    let length = 0
    if (response.statusCode !== 200) { fail(new Error(`the responder answers with status ${response.statusCode ?? 0}`)); return }
    response.on('data', (part: Buffer) => {
      length += part.length
      if (length > ANSWER_BYTES_MAX) fail(new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`))
      else parts.push(part)
    })
    response.on('error', fail)
    response.on('end', () => { cancel(); resolve(Buffer.concat(parts)) })
  })
  message.end(body)
})
