/** Two KMEs as a user runs them (`qkme serve`), the device process of their link, and a bare server beside them. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PoolView } from '../src/admin/port.js'
import { AdminClient } from '../src/cli/admin-client.js'
import { createPki, issueCertificate } from '../src/crypto/pki.js'
import { leafPaths } from '../src/crypto/pki-files.js'
import { claimPort } from '../src/http/tls-app.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { systemRandom } from '../src/kernel/system-random.js'
import { Load } from './load.js'
import { Part, until } from './process.js'

export const dist = join(dirname(fileURLToPath(import.meta.url)), '..')
export const SERVER_CORE = 0
export const LOAD_CORE = 1

export type SiteName = 'a' | 'b'
export interface SiteOptions {
  /** Registered at each KME besides the first two. */
  readonly moreSaes?: number
  readonly maxKeyCount?: number
  /** Arguments of Node for both KMEs: a profile. */
  readonly node?: readonly string[]
  readonly localStockBytes?: number
}

export class BenchSite {
  readonly folder = mkdtempSync(join(tmpdir(), 'qkme-bench-'))
  readonly ports: Record<SiteName | 'bare' | 'bareStatus', number> = { a: 0, b: 0, bare: 0, bareStatus: 0 }
  readonly peerPorts: Record<SiteName, number> = { a: 0, b: 0 }
  private readonly pki = { folder: join(this.folder, 'pki'), clock: systemClock, random: systemRandom }
  private readonly loads: Load[] = []
  kmes: Record<SiteName, Part> | undefined
  private bares: Part[] = []
  private device: Part | undefined

  private constructor (readonly options: SiteOptions) {}

  /** Everything but the device is started; KME A and the bare servers on the server's core. */
  static async start (options: SiteOptions = {}): Promise<BenchSite> {
    const site = new BenchSite(options)
    try {
      await site.prepare()
      await site.startServers()
      return site
    } catch (error) {
      await site.stop()
      throw error
    }
  }

  private async prepare (): Promise<void> {
    await createPki(this.pki)
    for (const name of ['a', 'b'] as const) {
      const id = `kme-${name}`
      await issueCertificate(this.pki, { profile: 'kme-server', id })
      await issueCertificate(this.pki, { profile: 'kme-peer', id })
      for (const n of [1, 2]) await issueCertificate(this.pki, { profile: 'sae', id: `sae-${name}-${n}` })
      writeFileSync(join(this.folder, `${id}-master.key`), randomBytes(32), { mode: 0o600 })
      this.ports[name] = await claimPort('127.0.0.1', 0)
      this.peerPorts[name] = await claimPort('127.0.0.1', 0)
    }
    this.ports.bare = await claimPort('127.0.0.1', 0)
    this.ports.bareStatus = await claimPort('127.0.0.1', 0)
    for (const name of ['a', 'b'] as const) writeFileSync(join(this.folder, `kme-${name}.yaml`), JSON.stringify(this.settings(name)))
  }

  private settings (name: SiteName): Record<string, unknown> {
    const id = `kme-${name}`, other: SiteName = name === 'a' ? 'b' : 'a'
    const tls = (role: string, ca: string) => ({ certificate: `pki/kme/${id}/${role}.crt`, key: `pki/kme/${id}/${role}.key`, ca: `pki/${ca}-ca.crt`, crlFiles: [`pki/${ca}-ca.crl`] })
    const saes = [1, 2].map((n) => ({ id: `sae-${name}-${n}` }))
    for (let n = 0; n < (this.options.moreSaes ?? 0); n++) saes.push({ id: `sae-${name}-more-${n}` })
    return {
      kme: { id }, folders: { state: `${id}-state` },
      rest: { host: '127.0.0.1', port: this.ports[name], publicHosts: ['localhost', '127.0.0.1'], tls: tls('server', 'sae') },
      peering: { host: '127.0.0.1', port: this.peerPorts[name], tls: tls('peer', 'kme') },
      peers: [{ kme: `kme-${other}`, url: `wss://localhost:${this.peerPorts[other]}` }],
      links: [{ id: 1, peer: `kme-${other}`, ring: { path: this.ring(name), slots: 4_096 } }],
      policy: { default: 'allow' }, saes,
      pools: { maxKeyCount: this.options.maxKeyCount ?? 8_000_000 },
      localPool: { stockBytes: this.options.localStockBytes ?? 67_108_864 },
      store: { masterKey: { file: `${id}-master.key` } },
    }
  }

  private ring (name: SiteName): string { return join(this.folder, `${name}.ring`) }

  private async startServers (): Promise<void> {
    const serve = (name: SiteName, core: number): Part =>
      Part.start(core, [...this.options.node ?? [], join(dist, 'src/cli/qkme.js'), 'serve', '--config', join(this.folder, `kme-${name}.yaml`)], join(this.folder, `${name}.log`))
    this.kmes = { a: serve('a', SERVER_CORE), b: serve('b', LOAD_CORE) }
    const door = ['server.crt', 'server.key'].map((file) => join(this.folder, 'pki/kme/kme-a', file))
    for (const [body, name] of [['key', 'bare'], ['status', 'bareStatus']] as const) {
      this.bares.push(Part.start(SERVER_CORE, [join(dist, 'bench/http-bare.js'), 'bare', `${this.ports[name]}`, ...door, join(this.folder, 'pki/sae-ca.crt'), body], join(this.folder, `${name}.log`)))
    }
    for (const name of ['a', 'b'] as const) {
      await until(`KME ${name} answers`, 30_000, async () => {
        if (!this.kmes![name].running) throw new Error(`KME ${name} ended\n${this.tail(name)}`)
        return await this.storedKeys(name, true) === undefined ? undefined : true
      }, () => this.tail(name))
    }
  }

  tail (name: SiteName): string { return this.kmes?.[name].log.split('\n').slice(-10).join('\n') ?? '' }

  /** Connections to a server as the first SAE of a site. */
  load (server: SiteName | 'bare' | 'bareStatus', connections: number, sae = server === 'b' ? 'sae-b-1' : 'sae-a-1'): Load {
    const paths = leafPaths(this.pki.folder, 'sae', sae, 'client')
    const load = new Load({
      host: '127.0.0.1', port: this.ports[server], certificateFile: paths.certificate, keyFile: paths.key,
      caFile: join(this.folder, 'pki/kme-ca.crt'), connections, core: LOAD_CORE,
    })
    this.loads.push(load)
    return load
  }

  barePart (which: 'bare' | 'bareStatus'): Part { return this.bares[which === 'bare' ? 0 : 1]! }

  /** What Get status says of the stock for the SAE at the other site (or, `local`, at the same); undefined without an answer. */
  storedKeys (name: SiteName, local = false): Promise<number | undefined> {
    const paths = leafPaths(this.pki.folder, 'sae', `sae-${name}-1`, 'client')
    const slave = local ? `sae-${name}-2` : `sae-${name === 'a' ? 'b' : 'a'}-1`
    return new Promise((resolve) => {
      const sent = request({
        host: '127.0.0.1', port: this.ports[name], path: `/api/v1/keys/${slave}/status`, agent: false,
        cert: readFileSync(paths.certificate), key: readFileSync(paths.key), ca: readFileSync(join(this.folder, 'pki/kme-ca.crt')),
      }, (answer) => {
        let text = ''
        answer.on('data', (part: Buffer) => { text += part.toString() })
        answer.on('end', () => { resolve(answer.statusCode === 200 ? (JSON.parse(text) as { stored_key_count: number }).stored_key_count : undefined) })
      })
      sent.on('error', () => { resolve(undefined) })
      sent.end()
    })
  }

  /** Key that KME A holds with B, in both lanes, in bytes; what is leased counts as gone. */
  async stockBytes (): Promise<number> {
    const pools = await new AdminClient(join(this.folder, 'kme-a-state/admin.sock')).get('/v1/pools') as PoolView[]
    return (pools.find(({ remote }) => remote === 'kme-b')?.stockBits ?? 0) / 8
  }

  /** Runs the device, on the load's core, until A can deliver so many keys; it is stopped again. */
  async fill (keys: number, timeoutMs = 120_000): Promise<void> {
    if ((await this.storedKeys('a') ?? 0) >= keys) return
    this.startDevice('max')
    await until(`stock of ${keys} keys`, timeoutMs, async () => (await this.storedKeys('a') ?? 0) >= keys ? true : undefined, () => `${this.tail('a')}\n${this.tail('b')}`)
    await this.stopDevice()
    await this.settle()
  }

  /** Until the two KMEs have agreed on what the device left behind: the stock stands still. */
  async settle (): Promise<void> {
    let before = -1, still = 0
    await until('agreement on the stock', 60_000, async () => {
      const now = await this.storedKeys('a') ?? 0
      still = now === before ? still + 1 : 0
      before = now
      return still >= 6 ? true : undefined
    })
  }

  issueSae (id: string): Promise<unknown> { return issueCertificate(this.pki, { profile: 'sae', id }) }

  /** A device at a rate, once its frames arrive. */
  async deviceAt (rate: string): Promise<void> {
    const before = await this.storedKeys('a') ?? 0
    this.startDevice(rate)
    await until('key from the device', 20_000, async () => (await this.storedKeys('a') ?? 0) > before ? true : undefined)
  }

  private startDevice (rate: string): void {
    this.device = Part.start(LOAD_CORE, [
      join(dist, 'sim/device/main.js'), '--ring-a', this.ring('a'), '--ring-b', this.ring('b'), '--link', '1', '--rate', rate,
      '--state', join(this.folder, 'device.json'),
    ], join(this.folder, 'device.log'))
  }

  async stopDevice (): Promise<void> { await this.device?.stop() }

  async stop (): Promise<void> {
    for (const load of this.loads) load.close()
    const parts = [this.device, ...this.bares, this.kmes?.a, this.kmes?.b]
    await Promise.all(parts.map((part) => part?.stop()))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
