import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AccountView, HealthView, PoolView, TopologyView } from '../../src/admin/port.js'
import { AdminClient } from '../../src/cli/admin-client.js'
import { Child } from '../../src/cli/start/child.js'
import { createPki, issueCertificate } from '../../src/crypto/pki.js'
import { leafPaths } from '../../src/crypto/pki-files.js'
import { KmeError } from '../../src/kernel/errors.js'
import { stayAlive, systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { sumOf, type LiveNetwork, type Outcome, type Sample } from './live.js'
import { freePorts } from './ports.js'
import { LineProxy } from './proxy.js'
import { ScenarioSae, type SaeReply } from './sae.js'
import type { Fault, Scenario } from './scenario.js'
import { kmeId, linkNumber, ringPath, saeId, siteConfig, type SitePorts } from './site.js'

const dist = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const running = new Set<ProcessNetwork>()
/** Stops every network that runs, for a program that is told to end: their processes would outlive it. */
export const stopNetworks = async (): Promise<void> => { await Promise.all([...running].map((network) => network.stop())) }

const READY_MS = 180_000
const GRACE_MS = 10_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => {
  const letGo = stayAlive()
  systemClock.after(ms, () => { letGo(); resolve() })
})

/** For measurements. */
export interface ProcessOptions {
  /** Neighbours dial each other without a proxy between: nothing of theirs can be partitioned. */
  readonly isDirect?: boolean
  /** A neighbour that is silent so long is asked for a sign of life, and given up after twice as long. By default 500 ms. */
  readonly keepAliveMs?: number
  /** Options of Node for the KMEs: profiles. */
  readonly node?: readonly string[]
}

/** What a client of a KME's REST interface needs. */
export interface Door { readonly host: string, readonly port: number, readonly certificateFile: string, readonly keyFile: string, readonly caFile: string }

interface Node { readonly name: string, readonly restPort: number, readonly sae: ScenarioSae, readonly admin: AdminClient, child: Child | undefined }

/** Why there were no keys; a connection's own words have a port that means nothing to anybody. */
const why = (method: 'enc' | 'dec', { status, body }: SaeReply): string => status === 0 ? `${method}: the KME does not answer` : `${method} ${status} ${body.message ?? ''}`

/** A scenario as real processes on this machine: a KME each, a device process for each QKD link, a proxy for each line. */
export class ProcessNetwork implements LiveNetwork {
  private readonly nodes = new Map<string, Node>()
  private readonly devices = new Map<number, Child>()
  private readonly proxies = new Map<string, LineProxy>()
  private readonly startMs = systemClock.monoMs()
  private constructor (private readonly scenario: Scenario, readonly folder: string, private readonly options: ProcessOptions) {}

  /** Makes certificates and configurations in a folder of its own, and starts everything. */
  static async start (scenario: Scenario, options: ProcessOptions = {}): Promise<ProcessNetwork> {
    const network = new ProcessNetwork(scenario, mkdtempSync(join(tmpdir(), 'qkme-network-')), options)
    running.add(network)
    try {
      await network.prepare()
    } catch (error) {
      await network.stop()
      throw error
    }
    return network
  }

  private async prepare (): Promise<void> {
    const { scenario, folder } = this
    const pki = { folder: join(folder, 'pki'), clock: systemClock, random: systemRandom }
    await createPki(pki)
    const free = await freePorts(scenario.kmes.length * 2)
    const ports = new Map<string, SitePorts>(scenario.kmes.map((name, i) => [name, { rest: free[2 * i]!, peering: free[2 * i + 1]! }]))
    for (const name of scenario.kmes) {
      await issueCertificate(pki, { profile: 'kme-server', id: kmeId(name) })
      await issueCertificate(pki, { profile: 'kme-peer', id: kmeId(name) })
      await issueCertificate(pki, { profile: 'sae', id: saeId(name) })
      writeFileSync(join(folder, `${kmeId(name)}-master.key`), randomBytes(32), { mode: 0o600 })
      this.nodes.set(name, { name, restPort: ports.get(name)!.rest, sae: new ScenarioSae(saeId(name), pki.folder, ports.get(name)!.rest), admin: new AdminClient(join(folder, kmeId(name), 'admin.sock')), child: undefined })
    }
    const lines = new Map<string, Map<string, number>>(scenario.kmes.map((name) => [name, new Map()]))
    for (const { between: [a, b] } of scenario.links) {
      for (const [from, to] of [[a, b], [b, a]] as const) {
        if (this.options.isDirect === true) { lines.get(from)!.set(to, ports.get(to)!.peering); continue }
        const proxy = new LineProxy(ports.get(to)!.peering)
        this.proxies.set(`${from} ${to}`, proxy)
        lines.get(from)!.set(to, await proxy.listen())
      }
    }
    for (const name of scenario.kmes) {
      writeFileSync(this.configFile(name), JSON.stringify(siteConfig(folder, scenario, name, ports.get(name)!, lines.get(name)!, this.options.keepAliveMs), undefined, 1)) // JSON is YAML.
      this.startKme(name)
    }
    scenario.links.forEach((_, index) => { this.startDevice(index) })
  }

  private configFile (name: string): string { return join(this.folder, `${kmeId(name)}.yaml`) }
  private spawn (name: string, args: readonly string[]): Child { return new Child({ name, folder: this.folder, args, env: { PATH: '/usr/bin:/bin' } }) }
  private startKme (name: string): void { this.nodes.get(name)!.child = this.spawn(kmeId(name), [...this.options.node ?? [], join(dist, 'src/cli/qkme.js'), 'serve', '--config', this.configFile(name)]) }

  private startDevice (index: number): void {
    const { between: [a, b], rateBps, qber } = this.scenario.links[index]!, link = linkNumber(index)
    this.devices.set(index, this.spawn(`device-${link}`, [
      join(dist, 'sim/device/main.js'), '--ring-a', ringPath(this.folder, a, link), '--ring-b', ringPath(this.folder, b, link), '--link', String(link),
      '--rate', String(rateBps), '--qber', String(qber), '--control', this.control(index), '--state', join(this.folder, `device-${link}.json`),
    ]))
  }

  private control (index: number): string { return join(this.folder, `device-${linkNumber(index)}.sock`) }

  nowMs (): number { return systemClock.monoMs() - this.startMs }
  wait (ms: number): Promise<void> { return pause(ms) }

  async ready (): Promise<void> {
    const endMs = systemClock.monoMs() + READY_MS
    for (const { name, admin, child } of this.nodes.values()) {
      for (;;) {
        for (const other of this.nodes.values()) if (other.child?.exit !== undefined) throw new KmeError('INTERNAL', `${kmeId(other.name)} ended\n${other.child.lastLines(12).join('\n')}`)
        const pools = await admin.get('/v1/pools').then((v) => v as PoolView[], () => undefined)
        const empty = pools?.filter((pool) => !pool.local && pool.stockBits < 64 * 256).map((pool) => pool.id)
        const hasAll = this.scenario.automatic?.open !== 'all' || (pools?.filter((pool) => !pool.local).length ?? 0) >= this.scenario.kmes.length - 1
        const health = await admin.get('/v1/health').then((v) => v as HealthView, () => undefined)
        if (health?.ready === true && empty?.length === 0 && hasAll) break
        if (systemClock.monoMs() > endMs) throw new KmeError('INTERNAL', `${kmeId(name)} is not ready within ${READY_MS / 1_000} s: ${empty?.join(', ') ?? 'no answer'} is empty\n${child?.lastLines(12).join('\n') ?? ''}`)
        await pause(100)
      }
    }
  }

  // --- SAEs ---------------------------------------------------------------------------------------------------------

  async exchange (from: string, to: string, keys: number, demand: Readonly<Record<string, unknown>> = {}): Promise<Outcome> {
    const startMs = systemClock.monoMs()
    const outcome = (why: string): Outcome => ({ why, keys, wholeMs: systemClock.monoMs() - startMs })
    const master = await this.nodes.get(from)!.sae.enc(saeId(to), keys, demand)
    if (master.status !== 200) return outcome(why('enc', master))
    const slave = await this.nodes.get(to)!.sae.dec(saeId(from), master.body.keys!.map((k) => k.key_ID))
    if (slave.status !== 200) return outcome(why('dec', slave))
    const same = master.body.keys!.every((k, i) => slave.body.keys![i]?.key_ID === k.key_ID && slave.body.keys![i]?.key === k.key)
    return outcome(same ? '' : 'the keys differ')
  }

  /** The SAE of a KME. */
  sae (name: string): ScenarioSae { return this.nodes.get(name)!.sae }

  /** The REST interface of a KME, for its SAE. */
  door (name: string): Door {
    const { certificate, key } = leafPaths(join(this.folder, 'pki'), 'sae', saeId(name), 'client')
    return { host: '127.0.0.1', port: this.nodes.get(name)!.restPort, certificateFile: certificate, keyFile: key, caFile: join(this.folder, 'pki/kme-ca.crt') }
  }

  /** The process of a KME, while it runs. */
  pid (name: string): number { return Number(readFileSync(join(this.folder, `${kmeId(name)}.pid`), 'utf8')) }

  /** What an operator asks of a KME: a route of the admin API. */
  ask (name: string, path: string): Promise<unknown> { return this.nodes.get(name)!.admin.get(path) }

  /** @param names Of these only; by default of all. */
  async sample (names: readonly string[] = this.scenario.kmes): Promise<Sample[]> {
    return Promise.all(names.map((name) => this.nodes.get(name)!).map(async ({ name, admin, child }) => {
      const none = { kme: name, isUp: false, stock: {}, account: {}, pools: {}, differenceBits: 0 }
      if (child === undefined || child.exit !== undefined) return none
      try {
        const [pools, account] = await Promise.all([admin.get('/v1/pools') as Promise<PoolView[]>, admin.get('/v1/account') as Promise<AccountView>])
        const others = account.pools.filter((pool) => pool.pool !== kmeId(name))
        const byPool = Object.fromEntries(others.map((pool) => [pool.pool, Object.fromEntries(Object.entries(pool.bits).map(([what, bits]) => [what, bits / 8]))]))
        return { kme: name, isUp: true, stock: Object.fromEntries(pools.filter((p) => !p.local).map((p) => [p.id.replace('pool/', ''), p.stockBits / 8])), account: sumOf(Object.values(byPool)), pools: byPool, differenceBits: account.differenceBits }
      } catch (error) {
        if (error instanceof KmeError) return none // It starts, or has just died.
        throw error
      }
    }))
  }

  async hops (): Promise<Readonly<Record<string, number>>> {
    const hops: Record<string, number> = {}
    for (const { name, admin } of this.nodes.values()) {
      const view = await admin.get('/v1/topology').then((v) => v as TopologyView, () => undefined)
      for (const route of view?.routes ?? []) if (route.problem === null) hops[`${name} ${route.to.replace('kme-', '')}`] = route.nodes.length - 1
    }
    return hops
  }

  // --- faults -------------------------------------------------------------------------------------------------------

  async fault (f: Fault): Promise<void> {
    if ('cut' in f) await this.tell(f.cut, { cmd: 'cut' })
    else if ('restore' in f) await this.tell(f.restore, { cmd: 'resume' })
    else if ('eavesdrop' in f) await this.tell(f.eavesdrop, { cmd: 'noise', qber: f.qber })
    else if ('slow' in f) await this.tell(f.slow, { cmd: 'rate', rate: f.rate })
    else if ('partition' in f) this.partition(f.partition, f.oneWay === true)
    else if ('heal' in f) for (const [from, to] of [f.heal, [f.heal[1], f.heal[0]]]) this.proxies.get(`${from!} ${to!}`)!.heal()
    else if ('kill' in f) await this.kill(f.kill)
    else if ('start' in f) this.startKme(f.start)
    else if ('copy' in f) await this.copy(f.copy)
    else await this.rollBack(f.rollBack)
  }

  private partition ([a, b]: readonly [string, string], oneWay: boolean): void {
    this.proxies.get(`${a} ${b}`)!.cut(true, !oneWay)
    this.proxies.get(`${b} ${a}`)!.cut(!oneWay, true)
  }

  private async kill (name: string): Promise<void> {
    const { child } = this.nodes.get(name)!
    child?.signal('SIGKILL')
    await child?.exited
  }

  private copyFolder (name: string): string { return join(this.folder, `${kmeId(name)}.copy`) }

  /** A copy of a running store is no consistent one: the KME is stopped for it, and started again. */
  private async copy (name: string): Promise<void> {
    const node = this.nodes.get(name)!
    await node.child?.stop(systemClock, GRACE_MS)
    rmSync(this.copyFolder(name), { recursive: true, force: true })
    cpSync(join(this.folder, kmeId(name)), this.copyFolder(name), { recursive: true, filter: (path) => !path.endsWith('.sock') })
    this.startKme(name)
  }

  private async rollBack (name: string): Promise<void> {
    if (!existsSync(this.copyFolder(name))) throw new KmeError('CONFIG_INVALID', `there is no copy of ${name} yet: a fault "copy" comes before "rollBack"`)
    await this.kill(name)
    rmSync(join(this.folder, kmeId(name)), { recursive: true })
    cpSync(this.copyFolder(name), join(this.folder, kmeId(name)), { recursive: true })
    this.startKme(name)
  }

  private tell (between: readonly [string, string], command: object): Promise<void> {
    const index = this.scenario.links.findIndex((l) => l.between.includes(between[0]) && l.between.includes(between[1]))
    return new Promise((resolve, reject) => {
      const socket = connect(this.control(index), () => { socket.write(`${JSON.stringify(command)}\n`) })
      let text = ''
      socket.on('error', (cause) => { reject(new KmeError('DEVICE_FAULT', `the device of ${between.join(' - ')} does not answer: ${cause.message}`, { cause })) })
      socket.on('data', (part: Buffer) => {
        text += part.toString()
        if (!text.includes('\n')) return
        socket.destroy()
        const answer = JSON.parse(text) as { ok: boolean, error?: string }
        if (answer.ok) resolve()
        else reject(new KmeError('DEVICE_FAULT', `the device of ${between.join(' - ')}: ${answer.error ?? 'refused'}`))
      })
    })
  }

  async stop (): Promise<void> {
    for (const { sae } of this.nodes.values()) sae.close()
    await Promise.all([...[...this.nodes.values()].map((n) => n.child), ...this.devices.values()].map((child) => child?.stop(systemClock, GRACE_MS)))
    for (const proxy of this.proxies.values()) proxy.close()
    running.delete(this)
    rmSync(this.folder, { recursive: true, force: true })
  }
}
