import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { leafPaths } from '../../src/crypto/pki-files.js'

export interface SaeReply { readonly status: number, readonly body: { readonly keys?: readonly { readonly key_ID: string, readonly key: string }[], readonly message?: string } }

/** An SAE over HTTPS with its client certificate (014). */
export class ScenarioSae {
  private readonly agent: Agent
  constructor (readonly id: string, pkiFolder: string, private readonly port: number) {
    const { certificate, key } = leafPaths(pkiFolder, 'sae', id, 'client')
    this.agent = new Agent({ keepAlive: true, maxSockets: 4, ca: readFileSync(`${pkiFolder}/kme-ca.crt`), cert: readFileSync(certificate), key: readFileSync(key), servername: 'localhost' })
  }

  /** `demand`: mandatory extensions, by name; `others`: further slaves, who get the same keys. */
  enc (slave: string, number: number, demand: Readonly<Record<string, unknown>> = {}, others: readonly string[] = []): Promise<SaeReply> {
    const pairs = Object.entries(demand).map(([name, value]) => ({ [name]: value }))
    return this.post(`/api/v1/keys/${slave}/enc_keys`, {
      number, ...pairs.length === 0 ? {} : { extension_mandatory: pairs }, ...others.length === 0 ? {} : { additional_slave_SAE_IDs: others },
    })
  }

  dec (master: string, ids: readonly string[]): Promise<SaeReply> { return this.post(`/api/v1/keys/${master}/dec_keys`, { key_IDs: ids.map((id) => ({ key_ID: id })) }) }
  close (): void { this.agent.destroy() }

  /** Status 0: no answer. */
  private post (path: string, ask: object): Promise<SaeReply> {
    const payload = Buffer.from(JSON.stringify(ask))
    return new Promise((resolve) => {
      const none = (error: Error): void => { resolve({ status: 0, body: { message: error.message } }) }
      const message = request({ host: '127.0.0.1', port: this.port, method: 'POST', path, agent: this.agent, timeout: 15_000, headers: { 'content-type': 'application/json', 'content-length': payload.length } }, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => { parts.push(part) })
        response.on('error', none)
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8')
          resolve({ status: response.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) as SaeReply['body'] })
        })
      })
      message.on('timeout', () => { message.destroy(new Error('no answer within 15 seconds')) })
      message.on('error', none)
      message.end(payload)
    })
  }
}
