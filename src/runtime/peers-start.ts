import { alertBegins, alertEnds, type AlertEdge } from '../../machines/part.js'
import type { Config } from '../config/schema.js'
import type { TrustStore } from '../crypto/trust.js'
import * as tlsApp from '../http/tls-app.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Clock } from '../kernel/time.js'
import { createTlsDialler } from '../peer/client.js'
import { defaultPeerLimits, signsOfLife } from '../peer/limits.js'
import { createPeerManager, type PeerManager } from '../peer/manager.js'
import type { PeerHandler } from '../peer/ports.js'
import { createTlsListen, PEER_PATH } from '../peer/server.js'
import type { Dialler } from '../peer/transport.js'
import type { NativeVault } from '../device/native.js'

const CLOSE_MS = 2_000

/** The peer manager of the configuration: dials and listens with mutual TLS. */
export const createPeers = (config: Config, trust: TrustStore | undefined, vault: NativeVault, clock: Clock, random: Random, log: Log,
  handlerFor: (kme: KmeId) => PeerHandler | undefined, alert: (edge: AlertEdge) => void): PeerManager => {
  const { peering } = config
  const { tls } = peering
  const limits = {
    ...defaultPeerLimits, sendQueueBytesMax: peering.sendQueueBytes, connectTimeoutMs: peering.connectTimeoutMs, helloTimeoutMs: peering.connectTimeoutMs,
    ...signsOfLife(peering.keepAliveMs), backoffMinMs: peering.retry.minMs, backoffMaxMs: peering.retry.maxMs,
  }
  const credentials = tls === undefined || trust === undefined ? undefined : { certificateFile: tls.certificate, keyFile: tls.key, caFile: tls.ca, trust }
  return createPeerManager({
    self: config.kme.id, vault, clock, random, log, limits, handlerFor,
    twice: (kme, isNow) => { alert(isNow ? alertBegins('peer.splitBrain', kme, 'critical', `two processes call as ${kme}: one of an earlier start while a later one is connected. Stop one of them: a copy of a store gives keys out twice`) : alertEnds('peer.splitBrain', kme)) },
    peers: config.peers.map(({ kme, url }) => ({ id: kme, ...(url === undefined ? {} : { url: url.replace(/\/$/, '') + PEER_PATH }) })),
    dialler: credentials === undefined ? noDialler : createTlsDialler({ credentials, clock, connectTimeoutMs: peering.connectTimeoutMs, closeTimeoutMs: CLOSE_MS }),
    ...(credentials === undefined || !peering.listen ? {} : {
      listen: createTlsListen({ server: tlsApp, host: peering.host, port: peering.port, credentials, sendQueueBytesMax: peering.sendQueueBytes, socketsMax: 4 * config.peers.length + 16 }),
    }),
  })
}

/** Without peers nothing is dialled; the configuration is refused if there are peers and no TLS. */
const noDialler: Dialler = {
  dial: () => { throw new KmeError('CONFIG_INVALID', 'peering.tls is needed to dial neighbours') },
  reload: () => {},
}
