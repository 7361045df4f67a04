import type { KmeId, SaeId } from '../../src/kernel/ids.js'
import type { PoolLimits } from '../../src/pool/ports.js'
import type { AutomaticLimits } from '../../src/relay/automatic.js'
import type { RelayLimits } from '../../src/relay/limits.js'
import { SimClock } from '../clock.js'
import { SimNetwork } from '../network.js'
import { SimRandom } from '../random.js'
import { framePayload } from '../pool/payload.js'
import type { Answer, GotKey } from '../sae-answer.js'
import { MeshKme } from './kme.js'
import { frameName } from './ring.js'

export interface MeshOptions {
  readonly seed: number
  /** Links, by the names of their KMEs. */
  readonly links: readonly (readonly [KmeId, KmeId])[]
  /** Relayed pools, of several classes with one KME if wanted. `only`: the one of both that has it written down. */
  readonly relayed: readonly { readonly between: readonly [KmeId, KmeId], readonly paths?: number, readonly hybrid?: boolean, readonly only?: KmeId }[]
  /** Pools that come by themselves, of each KME. */
  readonly automatic?: (kme: KmeId) => Partial<AutomaticLimits> | undefined
  readonly limits?: Partial<PoolLimits>
  readonly relayLimits?: Partial<RelayLimits>
  readonly flushMs?: number
  readonly stockBytes?: number
  readonly arenaBytes?: number
  /** SAEs of each KME: `a`, `a2`, `a3` at A. */
  readonly saesPerKme?: number
  readonly tickMs?: number
  /** After so much silence a neighbour is asked for a sign of life, and given up after twice as long; absent: 5 and 20 s. */
  readonly keepAliveMs?: number
  /** Remembers what devices brought (`payloads`). */
  readonly keepPayloads?: boolean
  /** One way, each frame: this much, and up to so much more. */
  readonly delayMs?: number, readonly jitterMs?: number
  /** What the wall clock of the n-th KME is ahead, and how much faster it runs. */
  readonly wall?: (index: number) => { readonly aheadMs: number, readonly driftPpm: number }
}

const FRAME_BYTES = 3_968

const lineOf = (a: KmeId, b: KmeId): string => [a, b].sort().join(' ')

/** The n-th SAE of a KME. */
export const saeOf = (kme: KmeId, index = 0): SaeId => `${kme.toLowerCase()}${index === 0 ? '' : index + 1}`

/** A network of whole KMEs in one process. Their SAEs are named like them in lower case. */
export class MeshWorld {
  readonly clock = new SimClock()
  readonly random: SimRandom
  readonly network: SimNetwork
  private readonly dead = new Set<string>()
  readonly kmes = new Map<KmeId, MeshKme>()
  /** Payloads by the frames' names, if they are kept. */
  readonly payloads: Map<string, Uint8Array> | undefined
  private nextFrame = 0

  constructor (readonly o: MeshOptions) {
    this.random = new SimRandom(o.seed)
    this.payloads = o.keepPayloads === true ? new Map() : undefined
    this.network = new SimNetwork({ clock: this.clock, random: this.random.fork(), faults: { delayMs: o.delayMs ?? 1, jitterMs: o.jitterMs ?? 1 } })
    const names = [...new Set(o.links.flat())].sort()
    const saes = new Map<SaeId, KmeId>(names.flatMap((kme) => Array.from({ length: o.saesPerKme ?? 1 }, (_, i) => [saeOf(kme, i), kme] as const)))
    for (const [index, id] of names.entries()) this.kmes.set(id, this.kme(id, index, saes))
  }

  private kme (id: KmeId, index: number, saes: ReadonlyMap<SaeId, KmeId>): MeshKme {
    const { o, clock, network } = this
    const neighbours = new Map(o.links.flatMap(([a, b], i) => a === id ? [[b, i + 1] as const] : b === id ? [[a, i + 1] as const] : []))
    const relayed = o.relayed.filter(({ only = id }) => only === id).flatMap(({ between: [a, b], paths = 1, hybrid = false }) => a === id ? [{ kme: b, paths, hybrid }] : b === id ? [{ kme: a, paths, hybrid }] : [])
    const wall = o.wall?.(index) ?? { aheadMs: 0, driftPpm: 0 }
    return new MeshKme({
      id, clock, random: this.random.fork(), network, neighbours, relayed, automatic: o.automatic?.(id), saes, tickMs: o.tickMs ?? 100, keepAliveMs: o.keepAliveMs,
      limits: { maxStockBytes: 1 << 20, ...o.limits }, relayLimits: o.relayLimits ?? {}, stockBytes: o.stockBytes ?? 1_048_576, arenaBytes: o.arenaBytes ?? 4 << 20,
      wallAheadMs: wall.aheadMs, wallDriftPpm: wall.driftPpm,
    }, o.flushMs ?? 2)
  }

  at (id: KmeId): MeshKme { return this.kmes.get(id)! }
  wait (ms: number): Promise<void> { return this.clock.advanceAsync(ms) }
  async startAll (): Promise<void> { for (const kme of this.kmes.values()) await Promise.all([kme.start(), this.wait(10)]) }

  /** Each link that is up delivers so many equal frames at both ends. */
  frames (count: number): void {
    for (const [a, b] of this.o.links) {
      if (!this.dead.has(lineOf(a, b))) this.deliver(a, b, count)
    }
  }

  /** The devices of one link bring equal frames to both ends. */
  deliver (a: KmeId, b: KmeId, count: number, bytes = FRAME_BYTES): void {
    for (let i = 0; i < count; i++) {
      const id = ++this.nextFrame, payload = framePayload(this.random.integer(2 ** 31), bytes)
      this.payloads?.set(frameName(id), payload)
      this.at(a).frame(b, id, payload)
      this.at(b).frame(a, id, payload)
    }
  }

  /** The devices of one link do not agree: the second end gets another frame under the same name, or none. */
  differ (a: KmeId, b: KmeId, isMissing: boolean, bytes = FRAME_BYTES): void {
    const id = ++this.nextFrame
    this.at(a).frame(b, id, framePayload(this.random.integer(2 ** 31), bytes))
    if (!isMissing) this.at(b).frame(a, id, framePayload(this.random.integer(2 ** 31), bytes))
  }

  /** Time passes while links deliver. */
  async run (seconds: number, framesPerSecond: number): Promise<void> {
    for (let i = 0; i < seconds * 4; i++) {
      this.frames(Math.ceil(framesPerSecond / 4))
      await this.wait(250)
    }
  }

  /** The line between two KMEs is dead in both directions, or one; its devices are, too. Routers find out by themselves. */
  cut (a: KmeId, b: KmeId, oneWay = false): void {
    this.dead.add(lineOf(a, b))
    if (oneWay) this.network.cut(a, b)
    else this.network.partition(a, b)
  }

  heal (a: KmeId, b: KmeId): void {
    this.dead.delete(lineOf(a, b))
    this.network.join(a, b)
  }

  async exchange (from: KmeId, to: KmeId, extra: { number?: number, extensions?: readonly { name: string, value: unknown, mandatory: boolean }[] } = {}): Promise<{ master: Answer | undefined, slave: Answer | undefined }> {
    const master = from.toLowerCase(), slave = to.toLowerCase()
    let first: Answer | undefined, second: Answer | undefined
    this.at(from).enc({ caller: master, slave, number: 1, ...extra }, (answer) => { first = answer })
    for (let i = 0; i < 40 && first === undefined; i++) await this.wait(100)
    if (first !== undefined && 'keys' in first) {
      this.at(to).dec({ caller: slave, master, keyIds: first.keys.map((k: GotKey) => k.id) }, (answer) => { second = answer })
      for (let i = 0; i < 40 && second === undefined; i++) await this.wait(100)
    }
    return { master: first, slave: second }
  }

  dispose (): void { for (const kme of this.kmes.values()) kme.dispose() }
}
