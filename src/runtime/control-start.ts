import { createActor, type Actor } from 'xstate'
import { alertBegins, alertEnds, type AlertEdge, type PartOutput } from '../../machines/part.js'
import { peerLimits, peerMachine } from '../../machines/peer.js'
import { supervise } from '../../machines/supervise.js'
import type { Config } from '../config/schema.js'
import type { TrustStore } from '../crypto/trust.js'
import type { NativeVault } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import { dialRole } from '../peer/collision.js'
import { createControlPeers, type ControlPeers } from '../peer/control/control.js'
import { TunnelHub } from '../peer/control/hub.js'
import { controlSigns, defaultTunnelLimits, type TunnelLimits } from '../peer/control/limits.js'
import type { EndToEnd } from '../peer/control/ports.js'
import { createTlsEndToEnd } from '../peer/control/tls-layer.js'
import { defaultPeerLimits, type PeerLimits } from '../peer/limits.js'
import type { PeerPart } from '../peer/parts.js'
import { createPeerActor } from '../peer/peer-actor.js'
import type { PeerHandler } from '../peer/ports.js'
import type { Router } from '../routing/router.js'
import { controlWays } from '../routing/ways.js'
import { PartBoard, type PartState } from './board.js'
import { retryWithJitter } from './peer-shell.js'
import { machineClock } from './xstate-clock.js'

export interface ControlDeps {
  readonly config: Config
  readonly trust: Pick<TrustStore, 'check'>
  readonly vault: NativeVault
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly alert: (edge: AlertEdge) => void
  readonly router: Pick<Router, 'paths' | 'graph' | 'subscribe'>
  /** The relayed pool with a KME, joined with its other parts; undefined refuses it for the time being. */
  readonly handlerFor: (kme: KmeId) => PeerHandler | undefined
  /** A KME calls with which there is no channel: whether it may. */
  readonly mayCall: (kme: KmeId) => boolean
  /** Absent: TLS with the certificate of the peer port. Simulations give another. */
  readonly endToEnd?: EndToEnd
}

const CLOSE_MS = 2_000
/** The side with the higher ID lets the other dial first. */
const GRACE_MS = 3_000

/**
 * Control channels to the far KMEs of our relayed pools, each under a peer machine of its own that is restarted like every part. Exists
 * while the store is open, if there is a peer certificate. Its part of each neighbour's channel carries its tunnels and those of others.
 */
export class ControlPath {
  readonly hub: TunnelHub
  readonly peers: ControlPeers
  private readonly board: PartBoard
  private readonly actors = new Map<KmeId, Actor<ReturnType<typeof supervise>>>()
  private readonly stops: Cancel[] = []

  /** @throws KmeError `CERTIFICATE_INVALID`, `CONFIG_INVALID` (no peering.tls). */
  constructor (private readonly d: ControlDeps) {
    const { config, clock, random, log } = d
    const limits = limitsOf(config)
    this.board = new PartBoard({ log, alert: (edge) => { d.alert({ ...edge, alert: edge.alert.replace('peer.', 'control.') }) } })
    this.hub = new TunnelHub({ self: config.kme.id, clock, random, log, limits: tunnelLimitsOf(config) })
    this.peers = createControlPeers({
      self: config.kme.id, hub: this.hub, endToEnd: d.endToEnd ?? tlsOf(d, limits), paths: controlWays(d.router), handlerFor: d.handlerFor, invited: d.mayCall,
      vault: d.vault, clock, random, log, limits,
    })
  }

  async start (): Promise<void> {
    const { peers } = this
    await peers.manager.start()
    this.stops.push(
      peers.watch({ opened: (kme) => { this.supervise(kme) }, closed: (kme) => { this.leave(kme) } }),
      this.d.router.subscribe(({ topology }) => { if (topology) peers.topologyChanged() }),
    )
  }

  /** Wants a channel to this KME; again is harmless. */
  open (kme: KmeId): void { this.peers.open(kme) }

  /** Ends it. */
  end (kme: KmeId, why: string): void { this.peers.close(kme, why) }

  /** The tunnels' part of a neighbour's channel. */
  part (neighbour: KmeId): PeerPart { return this.hub.neighbour(neighbour) }

  /** What each channel's machine is doing: `control/<kme>`. */
  states (): PartState[] { return this.board.list() }

  /** Takes a renewed certificate into use for new sessions. @throws KmeError `CERTIFICATE_INVALID`; the old one stays in use. */
  reload (): void { this.peers.manager.reload() }

  /** Trust anchors or revocation lists changed. */
  recheck (): void { this.peers.manager.recheck() }

  /** Ends every channel. The pools have said goodbye before. */
  close (): void {
    for (const stop of this.stops.splice(0)) stop()
    for (const kme of [...this.actors.keys()]) this.leave(kme)
    this.peers.stop()
  }

  private supervise (kme: KmeId): void {
    const { config, clock, random } = this.d
    const machine = peerMachine.provide({ actors: { channel: createPeerActor(this.peers.manager) }, delays: { retry: retryWithJitter(random) } })
    const { minMs, maxMs, stableMs, attemptsMax } = config.supervision
    const actor = createActor(supervise(`control/${kme}`, machine, { minMs, maxMs, stableMs, attemptsMax, stopMs: CLOSE_MS }), {
      clock: machineClock(clock), inspect: this.board.observe,
      input: {
        peer: kme, dials: true, graceMs: dialRole(config.kme.id, kme, true) === 'after-grace' ? GRACE_MS : 0,
        limits: { ...peerLimits, retryMinMs: config.peering.retry.minMs, retryMaxMs: config.peering.retry.maxMs },
      },
    })
    actor.subscribe({ complete: () => {
      const output = actor.getSnapshot().output as PartOutput | undefined
      if (output?.failed === true) this.d.alert(alertBegins('part.lost', `control/${kme}`, 'critical', `given up after repeated failures: ${output.reason}`))
    } })
    this.actors.set(kme, actor)
    actor.start()
  }

  private leave (kme: KmeId): void {
    this.actors.get(kme)?.stop()
    this.actors.delete(kme)
    this.board.forget(`control/${kme}`)
    for (const alert of ['control.down', 'control.refused']) this.d.alert(alertEnds(alert, kme))
    this.d.alert(alertEnds('part.lost', `control/${kme}`))
  }
}

const tunnelLimitsOf = ({ network: { relay: { tunnels } } }: Config): TunnelLimits => ({
  ...defaultTunnelLimits, sessionsMax: tunnels.sessions, queueBytesMax: tunnels.queueBytes, sourceBytesMax: tunnels.sourceQueueBytes,
  queueAgeMaxMs: tunnels.queueAgeMs, stallMs: tunnels.stallMs,
})

const limitsOf = ({ peering }: Config): PeerLimits => ({
  ...defaultPeerLimits, sendQueueBytesMax: peering.sendQueueBytes, connectTimeoutMs: peering.connectTimeoutMs, helloTimeoutMs: peering.connectTimeoutMs,
  ...controlSigns(peering.keepAliveMs),
  backoffMinMs: peering.retry.minMs, backoffMaxMs: peering.retry.maxMs,
})

const tlsOf = ({ config, trust, clock }: ControlDeps, limits: PeerLimits): EndToEnd => {
  const { tls } = config.peering
  if (tls === undefined) throw new KmeError('CONFIG_INVALID', 'peering.tls is needed for control channels to KMEs without a link')
  return createTlsEndToEnd({
    credentials: { certificateFile: tls.certificate, keyFile: tls.key, caFile: tls.ca, trust }, clock,
    handshakeTimeoutMs: limits.connectTimeoutMs, closeTimeoutMs: CLOSE_MS,
  })
}
