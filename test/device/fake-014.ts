import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readDeviceTls, type DeviceTls } from '../../src/device/device-https.js'

export interface FakeKey { readonly id: string, readonly key: string }

/** A device that acts as a KME: status, enc_keys from a queue, dec_keys by ID. */
export class Fake014 {
  private server: Server | undefined
  port = 0
  readonly queue: FakeKey[] = []
  readonly known = new Map<string, string>()
  readonly asked: { method: string, path: string, body: string }[] = []
  maxKeySizeBits = 256
  maxKeyPerRequest = 16
  /** Only requests that name this SAE are served; '' all. */
  only = ''
  /** Cuts the next answer to enc_keys in the middle. */
  cutNext = false
  /** Refuses a request for more keys than it has, as a KME does, instead of giving fewer. */
  strict = false

  constructor (private readonly tls: DeviceTls) {}

  async listen (): Promise<this> {
    const server = this.server = createServer({ ...readDeviceTls(this.tls), requestCert: true, rejectUnauthorized: true }, (request, response) => { this.serve(request, response) })
    await new Promise<void>((resolve) => { server.listen(this.port, '127.0.0.1', resolve) })
    this.port = (server.address() as AddressInfo).port
    return this
  }

  get url (): string { return `https://127.0.0.1:${this.port}` }

  async close (): Promise<void> {
    const { server } = this
    this.server = undefined
    if (server === undefined) return
    server.closeAllConnections()
    await new Promise((resolve) => { server.close(resolve) })
  }

  private serve (request: IncomingMessage, response: ServerResponse): void {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => { body += part })
    request.on('end', () => {
      const path = request.url ?? ''
      this.asked.push({ method: request.method ?? '', path, body })
      const [status, answer] = this.answer(path, body)
      const text = JSON.stringify(answer)
      if (this.cutNext && path.endsWith('enc_keys') && status === 200) {
        this.cutNext = false
        response.writeHead(200, { 'content-length': text.length })
        response.write(text.slice(0, text.length / 2))
        setTimeout(() => { response.destroy() }, 20)
        return
      }
      response.writeHead(status, { 'content-type': 'application/json' }).end(text)
    })
  }

  private answer (path: string, body: string): [number, object] {
    if (this.only !== '' && !path.includes(`/${this.only}/`)) return [503, { message: 'this one has gone' }]
    if (path.endsWith('/status')) return [200, { key_size: 256, min_key_size: 64, max_key_size: this.maxKeySizeBits, max_key_per_request: this.maxKeyPerRequest, stored_key_count: this.queue.length }]
    if (path.endsWith('/enc_keys')) {
      const { number } = JSON.parse(body) as { number: number }
      if (this.queue.length === 0 || (this.strict && this.queue.length < number)) return [503, { message: 'Insufficient keys' }]
      return [200, { keys: this.queue.splice(0, number).map(({ id, key }) => ({ key_ID: id, key })) }]
    }
    const ids = (JSON.parse(body) as { key_IDs: { key_ID: string }[] }).key_IDs.map(({ key_ID }) => key_ID)
    if (ids.some((id) => !this.known.has(id))) return [400, { message: 'key_ID not found' }]
    return [200, { keys: ids.map((id) => ({ key_ID: id, key: this.known.get(id) })) }]
  }
}
