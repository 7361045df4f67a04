import { request } from 'node:http'
import { KmeError, type KmeErrorCode } from '../kernel/errors.js'

const answerBytesMax = 64 * 1024 * 1024
const timeoutMs = 30_000

/** What the KME's answer means, by HTTP status; its own code wins if it sends one. */
const codeByStatus: Readonly<Record<number, KmeErrorCode>> = {
  400: 'BAD_REQUEST', 401: 'FORBIDDEN', 403: 'FORBIDDEN', 404: 'NOT_FOUND', 405: 'BAD_REQUEST', 409: 'BUSY', 413: 'BAD_REQUEST', 422: 'BAD_REQUEST', 503: 'BUSY',
}

/** Talks to a running KME over its Unix socket: whoever may open the socket (mode 0600) is an operator. */
export class AdminClient {
  constructor (private readonly socketPath: string) {}

  get (path: string): Promise<unknown> { return this.call('GET', path) }
  post (path: string, body: object): Promise<unknown> { return this.call('POST', path, body) }
  delete (path: string): Promise<unknown> { return this.call('DELETE', path) }

  /** Text as it comes, for /metrics. */
  async text (path: string): Promise<string> {
    const { status, body } = await this.exchange('GET', path)
    if (status !== 200) throw this.refusal(status, body)
    return body
  }

  private async call (method: string, path: string, body?: object): Promise<unknown> {
    const answer = await this.exchange(method, path, body)
    if (answer.status < 200 || answer.status > 299) throw this.refusal(answer.status, answer.body)
    if (answer.body === '') return undefined
    try {
      return JSON.parse(answer.body) as unknown
    } catch (cause) {
      throw new KmeError('PROTOCOL', `${method} ${path}: the answer on ${this.socketPath} is not JSON; is this the socket of a qkme of the same release?`, { cause })
    }
  }

  private exchange (method: string, path: string, body?: object): Promise<{ status: number, body: string }> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    return new Promise((resolve, reject) => {
      const message = request({
        socketPath: this.socketPath, method, path, timeout: timeoutMs, agent: false,
        headers: { host: 'localhost', ...payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length } },
      }, (response) => {
        const parts: Buffer[] = []
        let length = 0
        response.on('data', (part: Buffer) => {
          length += part.length
          if (length > answerBytesMax) message.destroy(new Error(`the answer is longer than ${answerBytesMax} bytes`))
          else parts.push(part)
        })
        response.on('end', () => { resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }) })
        response.on('error', (error) => { reject(this.unreachable(error)) })
      })
      message.on('timeout', () => { message.destroy(new Error(`no answer within ${timeoutMs / 1000} seconds`)) })
      message.on('error', (error) => { reject(this.unreachable(error)) })
      message.end(payload)
    })
  }

  private refusal (status: number, text: string): KmeError {
    const { code, message } = parseError(text)
    return new KmeError(code ?? codeByStatus[status] ?? 'INTERNAL', message ?? `the KME answered ${status}`)
  }

  private unreachable (cause: Error): KmeError {
    const code = (cause as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? `there is no socket ${this.socketPath}: the KME is not running, or runs with another configuration (--config, --socket)`
      : code === 'ECONNREFUSED' ? `nobody listens on ${this.socketPath}: the KME ended without removing it; start it again`
        : code === 'EACCES' ? `this user may not open ${this.socketPath}: run as the user of the KME`
          : `no answer on ${this.socketPath}: ${cause.message}`
    return new KmeError(code === 'EACCES' ? 'FORBIDDEN' : 'PEER_DOWN', why, { cause })
  }
}

const parseError = (text: string): { code?: KmeErrorCode, message?: string } => {
  try {
    const body = JSON.parse(text) as { code?: unknown, message?: unknown, error?: { code?: unknown, message?: unknown } }
    const source = typeof body.error === 'object' ? body.error : body
    return {
      ...typeof source.code === 'string' ? { code: source.code as KmeErrorCode } : {},
      ...typeof source.message === 'string' ? { message: source.message } : {},
    }
  } catch {
    return {} // No words from the KME; the status number speaks.
  }
}
