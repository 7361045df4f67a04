/** An SAE: HTTPS with its client certificate, kept alive, and what ETSI GS QKD 014 lets it ask. */
import { readFileSync } from 'node:fs'
import { Agent, request, type RequestOptions } from 'node:https'
import { eventually } from './process.js'

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  json (): any
}

/** A key as an SAE received it. */
export interface Received { readonly id: string, readonly key: string }

export interface SaeFiles { readonly certificate?: string, readonly key?: string, readonly ca: string }

export class Sae {
  private readonly agent: Agent
  /** Keys by POST as often as by GET. */
  private turns = 0

  constructor (readonly id: string, private readonly port: () => number, files: SaeFiles) {
    this.agent = new Agent({
      keepAlive: true, maxSockets: 8, ca: readFileSync(files.ca), servername: 'localhost',
      ...files.certificate === undefined || files.key === undefined ? {} : { cert: readFileSync(files.certificate), key: readFileSync(files.key) },
    })
  }

  /** @throws what node:https throws: refused handshakes, connections that end. */
  call (method: string, path: string, body?: unknown, more: RequestOptions = {}): Promise<Reply> {
    const payload = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
    return new Promise((resolve, reject) => {
      const message = request({
        host: '127.0.0.1', port: this.port(), method, path, agent: this.agent, timeout: 20_000, ...more,
        headers: { ...payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }, ...more.headers },
      }, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => { parts.push(part) })
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8')
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: () => JSON.parse(text) as unknown })
        })
      })
      message.on('timeout', () => { message.destroy(new Error('no answer within 20 seconds')) })
      message.on('error', reject)
      message.end(payload)
    })
  }

  status (slave: string): Promise<Reply> { return this.call('GET', `/api/v1/keys/${slave}/status`) }

  enc (slave: string, ask: { number?: number, size?: number } = {}): Promise<Reply> {
    const query = Object.entries(ask).map(([name, value]) => `${name}=${String(value)}`).join('&')
    return this.turns++ % 2 === 0 ? this.post(slave, ask) : this.call('GET', `/api/v1/keys/${slave}/enc_keys${query === '' ? '' : `?${query}`}`)
  }

  post (slave: string, ask: object): Promise<Reply> { return this.call('POST', `/api/v1/keys/${slave}/enc_keys`, ask) }

  dec (master: string, ids: readonly string[]): Promise<Reply> {
    return ids.length === 1 && this.turns++ % 2 === 0
      ? this.call('GET', `/api/v1/keys/${master}/dec_keys?key_ID=${ids[0] ?? ''}`)
      : this.call('POST', `/api/v1/keys/${master}/dec_keys`, { key_IDs: ids.map((id) => ({ key_ID: id })) })
  }

  /** Keys, asked for again while the KME says 503, as an SAE does: on a slow disk or a busy machine key is a moment late. Any other refusal is an error. */
  take (slave: string, ask: { number?: number, size?: number, additional_slave_SAE_IDs?: readonly string[] } = {}): Promise<Received[]> {
    const { additional_slave_SAE_IDs: others, ...usual } = ask
    return served(`keys for ${slave}`, () => others === undefined ? this.enc(slave, usual) : this.post(slave, ask))
  }

  /** The keys of these IDs, asked for like `take`. */
  fetch (master: string, ids: readonly string[]): Promise<Received[]> { return served(`keys of ${master}`, () => this.dec(master, ids)) }

  close (): void { this.agent.destroy() }
}

/** Keys of a container. @throws if the answer is no container. */
export const keysOf = (reply: Reply): Received[] => {
  if (reply.status !== 200) throw new Error(`expected keys, got ${reply.status} ${reply.text}`)
  return (reply.json().keys as { key_ID: string, key: string }[]).map(({ key_ID: id, key }) => ({ id, key }))
}

const served = (what: string, ask: () => Promise<Reply>): Promise<Received[]> => eventually(what, async () => {
  const reply = await ask()
  return reply.status === 503 ? undefined : keysOf(reply)
})

export const idsOf = (keys: readonly Received[]): string[] => keys.map(({ id }) => id)
