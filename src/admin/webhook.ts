import { request } from 'node:https'
import { KmeError } from '../kernel/errors.js'
import type { Deliver } from './alert-queue.js'

export interface WebhookOptions {
  /** `https:` only: an alert says where this KME is weak. */
  readonly url: string
  readonly kme: string
  /** PEM of the CA if it is not a public one. Asked for each alert. */
  readonly ca?: () => string | Buffer
  /** Sent as a bearer token (RFC 6750). Asked for each alert. */
  readonly token?: () => string
  readonly timeoutMs?: number
}

/**
 * Posts each alert as JSON: {kme, id, subject, severity, message, active, since, clearedAt, count}. Any status of 200 to
 * 299 counts as arrived; redirects are not followed.
 *
 * @throws KmeError `CONFIG_INVALID` if the URL is not https or carries a password.
 */
export const createWebhook = (options: WebhookOptions): Deliver => {
  const url = parse(options.url)
  const timeoutMs = options.timeoutMs ?? 5_000
  return (alert) => new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify({ kme: options.kme, ...alert }))
    const message = request(url, {
      method: 'POST', timeout: timeoutMs, agent: false, ...options.ca === undefined ? {} : { ca: options.ca() },
      headers: {
        'content-type': 'application/json', 'content-length': body.length, 'user-agent': 'qkme',
        ...options.token === undefined ? {} : { authorization: `Bearer ${options.token()}` },
      },
    }, (response) => {
      const status = response.statusCode ?? 0
      response.resume() // Nothing in the answer is of interest.
      response.on('error', reject)
      response.on('end', () => { if (status >= 200 && status <= 299) resolve(); else reject(new Error(`the webhook answered ${status}`)) })
      response.on('aborted', () => { reject(new Error('the webhook broke off its answer')) })
    })
    message.on('timeout', () => { message.destroy(new Error(`the webhook did not answer within ${timeoutMs} ms`)) })
    message.on('error', reject)
    message.end(body)
  })
}

const parse = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new KmeError('CONFIG_INVALID', 'the alert webhook must be an https URL without a password')
  }
  return url
}
