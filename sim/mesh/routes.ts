import type { KmeId } from '../../src/kernel/ids.js'
import type { Random } from '../../src/kernel/random.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { PathSource } from '../../src/peer/control/ports.js'
import type { Body } from '../../src/peer/messages.js'
import type { PeerPart } from '../../src/peer/parts.js'
import type { PeerChannel } from '../../src/peer/ports.js'
import type { Pool } from '../../src/pool/pool.js'
import { Rate } from '../../src/pool/rate.js'
import type { RelayRoutes } from '../../src/relay/ports.js'
import { Malformed } from '../../src/routing/bytes.js'
import { defaultRouterOptions, Router } from '../../src/routing/router.js'
import { controlWays, isBroken } from '../../src/routing/ways.js'
import { SimAuthority } from '../flood/credentials.js'

export interface MeshRoutesDeps {
  readonly self: KmeId
  readonly clock: Clock
  readonly random: Random
  /** Number of the process start. */
  readonly incarnation: number
  readonly pools: ReadonlyMap<KmeId, Pool>
  /** Of each lane, this much is not for the relay. */
  readonly reserveBytes: number
  readonly alarm: (text: string) => void
}

const RATE_TAU_MS = 60_000
/** A link that changes is told at once, not gathered for seconds: runs are short. */
const CHANGE_MS = 500, REFRESH_MS = 60_000

/** How a simulated KME knows ways: the real router. Only certificates and signatures are simulated (`SimAuthority`): honest, and without their cost. */
export class MeshRoutes {
  readonly router: Router
  readonly relay: RelayRoutes
  readonly control: PathSource
  private readonly channels = new Map<KmeId, PeerChannel>()
  private readonly rates = new Map<KmeId, { readonly rate: Rate, ingested: number }>()
  private unsubscribe: Cancel = () => {}

  constructor (private readonly d: MeshRoutesDeps) {
    const { clock, random, self, incarnation } = d
    const authority = new SimAuthority()
    const router = this.router = new Router({ ...defaultRouterOptions, self, incarnation, changeMs: CHANGE_MS, refreshMs: REFRESH_MS }, {
      clock, random, signer: authority.signer(self), judge: authority.judge,
      send: (neighbour, packet) => this.channels.get(neighbour)?.send('linkState', { packet }) ?? 'closed', alarm: (event, about, detail) => { d.alarm(`${event}: ${about}: ${detail}`) },
    })
    this.relay = {
      paths: (to, query) => { const answer = router.paths(to, query); return answer.ok ? answer.paths.map(({ nodes }) => nodes) : answer.message },
      mayForward: (nodes) => router.mayForward(nodes), isBroken: (nodes) => isBroken(router, nodes),
    }
    this.control = controlWays(router)
  }

  /** Routing's part of a neighbour's channel. */
  part (neighbour: KmeId): PeerPart {
    return {
      names: ['linkState'],
      onReady: (channel) => { this.channels.set(neighbour, channel); this.look(); this.router.connected(neighbour) },
      onClosed: () => { this.channels.delete(neighbour); this.router.disconnected(neighbour); this.look() },
      onWritable: () => { this.router.writable(neighbour) },
      onMessage: (_name, body) => {
        try { this.router.receive(neighbour, (body as Body<'linkState'>).packet) } catch (error) {
          if (error instanceof Malformed) throw new KmeError('PROTOCOL', `link state refused: ${error.message}`, { cause: error })
          throw error
        }
      },
    }
  }

  /** @param changed Ways may have changed. */
  start (changed: () => void): void {
    this.look()
    this.router.start()
    this.unsubscribe = this.router.subscribe(({ topology }) => { if (topology) changed() })
  }

  /** Time has passed. */
  look (): void {
    for (const [neighbour, pool] of this.d.pools) {
      const { core } = pool, isUp = core.ready && core.meta.suspended === '' && this.channels.has(neighbour)
      this.router.report(neighbour, { stockBytes: Math.max(0, pool.relay.freeBytes - this.d.reserveBytes), bytesPerS: this.rateOf(neighbour, core.account.ingested), state: isUp ? 'up' : 'down' })
    }
  }

  /** Each side owns about half of what the devices bring. */
  private rateOf (neighbour: KmeId, ingested: number): number {
    let known = this.rates.get(neighbour)
    if (known === undefined) this.rates.set(neighbour, known = { rate: new Rate(this.d.clock, RATE_TAU_MS), ingested })
    known.rate.add(Math.max(0, ingested - known.ingested) / 2)
    known.ingested = ingested
    return known.rate.perSecond()
  }

  stop (): void {
    this.unsubscribe()
    this.router.stop()
  }
}
