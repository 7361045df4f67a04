/** A real REST server over real TLS with a key service under the test's control. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { createPki, issueCertificate, type IssueRequest, type Issued, type PkiContext } from '../../src/crypto/pki.js'
import { openTrustStore, type TrustStore } from '../../src/crypto/trust.js'
import type { Identity } from '../../src/http/identity-cache.js'
import { defaultRestLimits, type RestLimits, type RestRules, type SessionState } from '../../src/http/rest.js'
import { startRest, type RestOptions, type RestServer } from '../../src/http/server.js'
import type { KeyLimits } from '../../src/http/key-request.js'
import { quietLog, type Log, type SecurityEvent } from '../../src/kernel/log.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import type { Clock } from '../../src/kernel/time.js'
import type { ExtensionRegistry } from '../../src/pool/extensions.js'
import type { DecKeysRequest, EncKeysRequest, KeyReply, KeyService, PoolStatus, Refusal } from '../../src/pool/service.js'

export const KEY_ID = '550e8400-e29b-41d4-a716-446655440000'
export const container = (text = 'container'): Uint8Array => Buffer.from(JSON.stringify({ keys: [{ key_ID: KEY_ID, key: text }] }))

/** Answers every request with the same container, unless the test says otherwise; remembers what it was asked. */
export class FakeService implements KeyService {
  readonly encRequests: EncKeysRequest[] = []
  readonly decRequests: DecKeysRequest[] = []
  readonly abortedDeliveries: number[] = []
  deliveries = 0
  onEnc: (request: EncKeysRequest, reply: KeyReply) => void = (_request, reply) => { this.deliver(reply) }
  onDec: (request: DecKeysRequest, reply: KeyReply) => void = (_request, reply) => { this.deliver(reply) }
  onStatus: (caller: string, slave: string) => PoolStatus | Refusal = () => ({
    sourceKme: 'kme-a', targetKme: 'kme-b', keySizeBits: 256, storedKeyCount: 25_000, maxKeyCount: 100_000,
    maxKeyPerRequest: 128, maxKeySizeBits: 8_192, minKeySizeBits: 64, maxSaeIdCount: 8,
  })

  reset (): void {
    Object.assign(this, new FakeService())
  }

  /** Like the real service: the bytes are wiped when the call returns. */
  deliver (reply: KeyReply, json = container()): number {
    const delivery = this.deliveries++
    reply.keys(json, delivery)
    json.fill(0)
    return delivery
  }

  status (caller: string, slave: string): PoolStatus | Refusal { return this.onStatus(caller, slave) }
  encKeys (request: EncKeysRequest, reply: KeyReply): void { this.encRequests.push(request); this.onEnc(request, reply) }
  decKeys (request: DecKeysRequest, reply: KeyReply): void { this.decRequests.push(request); this.onDec(request, reply) }
  aborted (delivery: number): void { this.abortedDeliveries.push(delivery) }
}

export interface Answer { readonly status: number, readonly headers: ReadonlyMap<string, string>, readonly body: string, readonly json: () => Record<string, unknown> }

/** One TLS connection that speaks raw HTTP/1.1. */
export class Client {
  readonly #chunks: Buffer[] = []
  #waiting: (() => void) | undefined
  closed = false

  constructor (readonly socket: TLSSocket) {
    socket.on('data', (data: Buffer) => { this.#chunks.push(data); this.#waiting?.() })
    socket.on('close', () => { this.closed = true; this.#waiting?.() })
    socket.on('error', () => {})
  }

  send (text: string | Uint8Array): void { this.socket.write(text) }

  get received (): string { return this.#bytes().toString('latin1') }

  #bytes (): Buffer {
    if (this.#chunks.length !== 1) this.#chunks.splice(0, Infinity, Buffer.concat(this.#chunks))
    return this.#chunks[0] as Buffer
  }

  #length (): number { return this.#chunks.reduce((sum, { length }) => sum + length, 0) }

  /** Waits until what was received fulfils `done` or the connection closes. */
  async until (done: () => boolean): Promise<void> {
    while (!done() && !this.closed) await new Promise<void>((resolve) => { this.#waiting = resolve })
  }

  /** Takes one answer off what was received; undefined if the connection closed before it was whole. */
  async answer (head = false): Promise<Answer | undefined> {
    const end = (): number => this.#bytes().indexOf('\r\n\r\n')
    await this.until(() => end() !== -1)
    if (end() === -1) return undefined
    const [statusLine = '', ...lines] = this.#bytes().subarray(0, end()).toString('latin1').split('\r\n')
    const headers = new Map(lines.map((line) => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)] as const
    }))
    const start = end() + 4, total = start + (head ? 0 : Number(headers.get('content-length') ?? 0))
    await this.until(() => this.#length() >= total)
    if (this.#length() < total) return undefined
    const body = this.#bytes().subarray(start, total).toString()
    this.#chunks.splice(0, Infinity, this.#bytes().subarray(total))
    return { status: Number(statusLine.split(' ')[1]), headers, body, json: () => JSON.parse(body) as Record<string, unknown> }
  }

  async whenClosed (): Promise<void> { await this.until(() => false) }

  destroy (): void { this.socket.destroy() }
}

export interface CallOptions { readonly body?: string | Uint8Array, readonly headers?: readonly string[], readonly type?: string }

export const request = (method: string, path: string, options: CallOptions = {}): Buffer => {
  const body = Buffer.from(options.body ?? '')
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: kme-a', ...options.headers ?? []]
  if (options.body !== undefined) lines.push(`Content-Length: ${body.length}`, ...options.type === '' ? [] : [`Content-Type: ${options.type ?? 'application/json'}`])
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body])
}

export const keyLimits: KeyLimits = { keySizeBits: 256, minKeySizeBits: 64, maxKeySizeBits: 8_192, maxKeyPerRequest: 128, maxSaeIdCount: 8 }

export interface LabOptions {
  readonly limits?: Partial<RestLimits>
  readonly rules?: Partial<RestRules>
  readonly keys?: Partial<KeyLimits>
  readonly allowTls12?: boolean
  readonly idleTimeoutS?: number
  readonly connectionAgeMs?: number
  readonly clock?: Clock
  readonly identity?: (trust: TrustStore) => Identity
  readonly registry?: ExtensionRegistry
}

/** Certificates of one test file. */
export class TestPki {
  readonly folder = mkdtempSync(join(tmpdir(), 'qkme-http-'))
  readonly context: PkiContext = { folder: this.folder, clock: systemClock, random: systemRandom }

  static async create (): Promise<TestPki> {
    const pki = new TestPki()
    await createPki(pki.context)
    return pki
  }

  issue (id: string, more: Partial<IssueRequest> = {}): Promise<Issued> { return issueCertificate(this.context, { profile: 'sae', id, ...more }) }

  remove (): void { rmSync(this.folder, { recursive: true, force: true }) }
}

export class Lab {
  readonly service = new FakeService()
  readonly events: SecurityEvent[] = []
  readonly faults: unknown[] = []
  readonly sessions = new Map<string, SessionState>([['sae-a', 'active'], ['sae-b', 'active']])
  server!: RestServer
  trust!: TrustStore
  options!: RestOptions

  constructor (readonly pki: TestPki) {}

  file (path: string): string { return join(this.pki.folder, path) }

  async start (lab: LabOptions): Promise<void> {
    const server = await issueCertificate(this.pki.context, { profile: 'kme-server', id: `kme-${this.pki.context.random.integer(1e9)}` })
    const caFile = this.file('sae-ca.crt')
    this.trust = await openTrustStore({
      caFile, crlFiles: [this.file('sae-ca.crl')], crlRequired: true,
      identity: { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true }, usages: ['clientAuth'],
    }, lab.clock ?? systemClock)
    this.options = {
      host: '127.0.0.1', port: 0,
      tls: { certificateFile: server.certificate, keyFile: server.key, caFile, allowTls12: lab.allowTls12 ?? false, idleTimeoutS: lab.idleTimeoutS ?? 60 },
      connectionAgeMs: lab.connectionAgeMs ?? 3_600_000,
      limits: { ...defaultRestLimits, ...lab.limits }, keys: { ...keyLimits, ...lab.keys },
      rules: { strictMembers: false, optionalExtensions: 'ignore', strictContentType: true, ...lab.rules },
    }
    const log: Log = { ...quietLog, security: (event) => { this.events.push(event) } }
    this.server = await startRest(this.options, {
      service: this.service, identity: lab.identity?.(this.trust) ?? this.trust, ...lab.registry === undefined ? {} : { registry: lab.registry }, clock: lab.clock ?? systemClock, log,
      sessions: { state: (sae) => this.sessions.get(sae) ?? 'unregistered' }, onFault: (error) => { this.faults.push(error) },
    })
  }

  async connect (who: Issued | undefined, more: ConnectionOptions = {}): Promise<Client> {
    const socket = connect({
      host: '127.0.0.1', port: this.server.port, servername: 'localhost', ca: readFileSync(this.file('kme-ca.crt')),
      ...(who === undefined ? {} : { cert: readFileSync(who.certificate), key: readFileSync(who.key) }), ...more,
    })
    const client = new Client(socket)
    await new Promise<void>((resolve, reject) => { socket.once('secureConnect', resolve); socket.once('error', reject); socket.once('close', () => { reject(new Error('closed before TLS')) }) })
    return client
  }

  readonly #kept = new Map<Issued | undefined, Client>()

  /** One request, on the connection that the last call of this client left open, if it did. */
  async call (who: Issued | undefined, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const kept = this.#kept.get(who)
    const client = kept === undefined || kept.closed ? await this.connect(who) : kept
    client.send(request(method, path, options))
    const answer = await client.answer(method === 'HEAD')
    if (answer === undefined) throw new Error(`no answer to ${method} ${path}`)
    this.#kept.set(who, client)
    if (answer.headers.get('connection') === 'close') await client.whenClosed()
    return answer
  }

  /** Forgets what the tests before did. */
  reset (): this {
    this.service.reset()
    this.events.length = 0
    this.faults.length = 0
    return this
  }
}

/** Starts a server that stops with the test. */
export const startLab = async (t: Test, pki: TestPki, options: LabOptions = {}): Promise<Lab> => {
  const lab = new Lab(pki)
  await lab.start(options)
  t.teardown(() => lab.server.stop(0))
  return lab
}
