/** Two sites as a user has them: a PKI, two KMEs as processes, the device process of their link, SAEs over real TLS. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePorts } from '../../sim/network/ports.js'
import type { AccountView, DeviceView, HealthView, LinkView, PoolView } from '../../src/admin/port.js'
import { AdminClient } from '../../src/cli/admin-client.js'
import { createPki, issueCertificate, type IssueRequest, type Issued, type PkiContext } from '../../src/crypto/pki.js'
import { leafPaths } from '../../src/crypto/pki-files.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { projectFolder } from '../config/examples.js'
import { Child, eventually, type End } from './process.js'
import { Sae } from './sae.js'

export type Site = 'a' | 'b'
type Settings = Record<string, unknown>

export interface WorldOptions {
  /** SAEs of each site; default two. Each gets a certificate and is registered by the configuration. */
  readonly saes?: Readonly<Record<Site, readonly string[]>>
  /** Added to the section `pools` of both KMEs. */
  readonly pools?: Settings
  readonly rate?: string
  /** The device process simulates a link of this preset, in blocks of so many sifted bits, instead of giving random bits at a rate. */
  readonly physics?: { readonly preset: string, readonly blockBits: number }
  /** The device process makes the same bits again after a restart. */
  readonly seed?: string
  readonly qberAbort?: number
  /** Arguments of Node before the program. */
  readonly node?: readonly string[]
  readonly logLevel?: string
  /** What becomes of SAEs that are not registered; default: they are noted. */
  readonly unregistered?: 'refuse' | 'register' | 'request'
  /** Added to the TLS groups of a site: of its REST server, which knows SAEs, and of its peering. */
  readonly tls?: (site: Site, role: 'sae' | 'kme') => Settings
  /** The device group of a site's link, instead of a ring; `file` makes paths in the world's folder. */
  readonly link?: (site: Site, file: (...path: string[]) => string) => Settings
  /** Runs when the PKI is there, before the configurations are written. */
  readonly before?: (world: World) => Promise<void>
}

const program = join(projectFolder, 'dist/src/cli/qkme.js')
const deviceMain = join(projectFolder, 'dist/sim/device/main.js')

/** One KME: its process, its admin socket, its files. */
export class Kme {
  readonly child: Child
  readonly admin: AdminClient
  readonly configFile: string
  readonly stateFolder: string

  constructor (readonly id: string, folder: string, readonly restPort: number, readonly peerPort: number, node: readonly string[]) {
    this.configFile = join(folder, `${id}.yaml`)
    this.stateFolder = join(folder, `${id}-state`)
    this.admin = new AdminClient(join(this.stateFolder, 'admin.sock'))
    this.child = new Child(() => [...node, program, 'serve', '--config', this.configFile], join(folder, `${id}.log`), folder)
  }

  /** An answer of the admin socket, or undefined while there is none. */
  private ask<T> (path: string): Promise<T | undefined> { return this.admin.get(path).then((view) => view as T, () => undefined) }

  health (): Promise<HealthView | undefined> { return this.ask('/v1/health') }
  async pool (remote: string): Promise<PoolView | undefined> { return (await this.ask<PoolView[]>('/v1/pools'))?.find((pool) => pool.remote === remote) }
  async link (): Promise<LinkView | undefined> { return (await this.ask<LinkView[]>('/v1/links'))?.[0] }
  async device (): Promise<DeviceView | undefined> { return (await this.ask<DeviceView[]>('/v1/devices'))?.[0] }
  async account (): Promise<AccountView> { return await this.admin.get('/v1/account') as AccountView }

  /** Until keys can be delivered from at least `stockBits` shared with `remote`. */
  async ready (remote: string, stockBits = 500_000, timeoutMs = 60_000): Promise<void> {
    await eventually(`${this.id} ready with ${stockBits} bits`, async () => {
      if (!this.child.running) throw new Error(`${this.id} ended\n${this.tail()}`)
      const health = await this.health()
      if (health?.ready !== true) return undefined
      return ((await this.pool(remote))?.stockBits ?? 0) >= stockBits ? true : undefined
    }, timeoutMs, () => this.tail())
  }

  tail (): string { return this.child.log.split('\n').slice(-25).join('\n') }

  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<End> { return await this.child.stop(signal) }
  start (): void { this.child.start() }
}

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'qkme-'))
  readonly pki: PkiContext = { folder: join(this.folder, 'pki'), clock: systemClock, random: systemRandom }
  readonly device: Child
  readonly control = join(this.folder, 'device.sock')
  readonly saeIds: Readonly<Record<Site, readonly string[]>>
  private readonly open: Sae[] = []
  readonly kmes: { readonly a: Kme, readonly b: Kme }

  private constructor (private readonly options: WorldOptions, ports: readonly number[]) {
    const { node = [], saes = { a: ['sae-a-1', 'sae-a-2'], b: ['sae-b-1', 'sae-b-2'] } } = options
    this.saeIds = saes
    this.kmes = { a: new Kme('kme-a', this.folder, ports[0]!, ports[1]!, node), b: new Kme('kme-b', this.folder, ports[2]!, ports[3]!, node) }
    const { rate = '4M', seed, physics } = options
    const supply = physics === undefined ? ['--rate', rate] : ['--physics', physics.preset, '--physics-block', String(physics.blockBits)]
    this.device = new Child(() => [
      deviceMain, '--ring-a', this.ring('a'), '--ring-b', this.ring('b'), '--link', '1', ...supply, '--control', this.control,
      ...seed === undefined || physics === undefined ? ['--state', join(this.folder, 'device.json')] : [], ...seed === undefined ? [] : ['--seed', seed],
    ], join(this.folder, 'device.log'), this.folder)
  }

  static async create (options: WorldOptions = {}): Promise<World> {
    const world = new World(options, await freePorts(4))
    await createPki(world.pki)
    await options.before?.(world)
    for (const site of ['a', 'b'] as const) {
      const { id } = world.kmes[site]
      await world.issue({ profile: 'kme-server', id })
      await world.issue({ profile: 'kme-peer', id })
      for (const sae of world.saeIds[site]) await world.issue({ profile: 'sae', id: sae })
      writeFileSync(join(world.folder, `${id}-master.key`), randomBytes(32), { mode: 0o600 })
      writeFileSync(world.kmes[site].configFile, JSON.stringify(world.settings(site), undefined, 1)) // JSON is YAML.
    }
    return world
  }

  issue (request: IssueRequest): Promise<Issued> { return issueCertificate(this.pki, request) }
  file (...path: string[]): string { return join(this.folder, ...path) }
  private ring (site: Site): string { return this.file(`${site}.ring`) }

  private settings (site: Site): Settings {
    const own = this.kmes[site], other = this.kmes[site === 'a' ? 'b' : 'a']
    const tls = (role: string, ca: 'sae' | 'kme'): Settings => ({ certificate: `pki/kme/${own.id}/${role}.crt`, key: `pki/kme/${own.id}/${role}.key`, ca: `pki/${ca}-ca.crt`, crlFiles: [`pki/${ca}-ca.crl`], reloadMs: 1_000, ...this.options.tls?.(site, ca) })
    return {
      kme: { id: own.id }, folders: { state: `${own.id}-state` },
      rest: { host: '127.0.0.1', port: own.restPort, publicHosts: ['localhost', '127.0.0.1'], tls: tls('server', 'sae') },
      peering: { host: '127.0.0.1', port: own.peerPort, tls: tls('peer', 'kme'), keepAliveMs: 1_000, retry: { minMs: 50, maxMs: 500 } },
      peers: [{ kme: other.id, url: `wss://localhost:${other.peerPort}` }],
      links: [{ id: 1, peer: other.id, ...this.options.link?.(site, (...path) => this.file(...path)) ?? { ring: { path: this.ring(site) } }, ...this.options.qberAbort === undefined ? {} : { qber: { warn: this.options.qberAbort / 2, abort: this.options.qberAbort } } }],
      policy: { default: 'allow', unregistered: this.options.unregistered ?? 'request' }, saes: this.saeIds[site].map((id) => ({ id })),
      pools: { runwayMs: 2_000, leaseMs: 200, maxKeyCount: 40_000, lowKeys: 100, criticalKeys: 10, ...this.options.pools },
      store: { masterKey: { file: `${own.id}-master.key` }, mapSizeBytes: 1 << 30, reserveBytes: 1 << 20 },
      logging: { level: this.options.logLevel ?? 'info' },
    }
  }

  /** Starts everything and waits for stock on both sides. */
  async start (stockBits?: number): Promise<this> {
    this.kmes.a.start()
    this.kmes.b.start()
    this.device.start()
    await this.ready(stockBits)
    await this.acquainted()
    return this
  }

  /** Until each KME has heard which SAEs the other one serves: the first message that needs key for its tag. */
  private async acquainted (): Promise<void> {
    for (const [site, other] of [['a', 'b'], ['b', 'a']] as const) {
      const asker = this.sae(this.saeIds[site][0]!, site)
      await eventually(`${this.kmes[site].id} knows the SAEs of ${this.kmes[other].id}`, async () => (await asker.status(this.saeIds[other][0]!)).status === 200 ? true : undefined, 60_000, () => this.kmes[site].tail())
    }
  }

  async ready (stockBits?: number): Promise<void> {
    await Promise.all([this.kmes.a.ready('kme-b', stockBits), this.kmes.b.ready('kme-a', stockBits)])
  }

  /** An SAE with the certificate made for it; `files` replaces parts. */
  sae (id: string, site: Site, files: { certificate?: string, key?: string, ca?: string } = leafPaths(this.pki.folder, 'sae', id, 'client')): Sae {
    const sae = new Sae(id, () => this.kmes[site].restPort, { ca: this.file('pki/kme-ca.crt'), ...files })
    this.open.push(sae)
    return sae
  }

  /** One command to the device process. */
  tell (command: Record<string, unknown>): Promise<Record<string, any>> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.control, () => { socket.write(`${JSON.stringify(command)}\n`) })
      let text = ''
      socket.on('error', reject)
      socket.on('data', (part: Buffer) => {
        text += part.toString()
        if (!text.includes('\n')) return
        socket.destroy()
        resolve(JSON.parse(text) as Record<string, any>)
      })
    })
  }

  async dispose (): Promise<void> {
    for (const sae of this.open) sae.close()
    await Promise.all([this.kmes.a.child.finish(), this.kmes.b.child.finish(), this.device.finish()])
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A world that ends with the test. */
export const startWorld = async (t: Test, options: WorldOptions = {}, stockBits?: number): Promise<World> => {
  const world = await World.create(options)
  t.teardown(() => world.dispose())
  return await world.start(stockBits)
}
