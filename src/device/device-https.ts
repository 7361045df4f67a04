import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { causeOf } from './feed-loop.js'

/** Files of mutual TLS between this KME and a device. */
export interface DeviceTls { readonly certificate: string, readonly key: string, readonly ca: string }

/** @throws Error that names the file. */
export const readDeviceTls = (tls: DeviceTls): { cert: Buffer, key: Buffer, ca: Buffer } => {
  const read = (what: string, path: string): Buffer => {
    try { return readFileSync(path) } catch (cause) { throw new Error(`${what} ${path}: ${causeOf(cause)}`, { cause }) }
  }
  return { cert: read('certificate', tls.certificate), key: read('key', tls.key), ca: read('CA', tls.ca) }
}

/** An answer. `body` may hold key: the caller wipes it. */
export interface DeviceAnswer { readonly status: number, readonly body: Uint8Array }

const BODY_BYTES_MAX = 1_048_576

/**
 * Requests to a device over HTTPS with certificates on both sides, one connection that is kept. Bodies are bounded; every buffer
 * that an answer passed through is wiped.
 */
export class DeviceHttps {
  private agent: Agent | undefined

  constructor (private readonly baseUrl: string, private readonly tls: DeviceTls, private readonly timeoutMs: number) {}

  /** @param body JSON, without secrets. @throws Error if there is no answer: what went wrong, without content. */
  async call (method: 'GET' | 'POST', path: string, body?: string): Promise<DeviceAnswer> {
    try {
      return await this.exchange(method, path, body)
    } catch (error) {
      this.close() // The next attempt connects anew, with the certificates as they are then.
      throw error
    }
  }

  private exchange (method: 'GET' | 'POST', path: string, body?: string): Promise<DeviceAnswer> {
    this.agent ??= new Agent({ ...readDeviceTls(this.tls), keepAlive: true, maxSockets: 1, minVersion: 'TLSv1.2' })
    const { agent } = this
    return new Promise((resolve, reject) => {
      const url = new URL(this.baseUrl.replace(/\/$/, '') + path)
      const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const outgoing = request(url, { method, agent, headers, signal: AbortSignal.timeout(this.timeoutMs) }, (incoming) => {
        const parts: Buffer[] = []
        let size = 0
        const wipe = (): void => { for (const part of parts) part.fill(0) }
        incoming.on('data', (part: Buffer) => {
          parts.push(part)
          size += part.length
          if (size > BODY_BYTES_MAX) incoming.destroy(new Error(`the answer is longer than ${BODY_BYTES_MAX} bytes`))
        })
        incoming.on('error', (error) => { wipe(); reject(error) })
        incoming.on('end', () => {
          const whole = new Uint8Array(size)
          let at = 0
          for (const part of parts) { whole.set(part, at); at += part.length }
          wipe()
          resolve({ status: incoming.statusCode ?? 0, body: whole })
        })
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  close (): void {
    this.agent?.destroy()
    this.agent = undefined
  }
}
