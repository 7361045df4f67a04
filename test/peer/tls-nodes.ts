/** Peer managers over real TLS on this machine, with a PKI of their own. */
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { createPki, issueCertificate, type IssueRequest } from '../../src/crypto/pki.js'
import { caPaths, leafPaths } from '../../src/crypto/pki-files.js'
import { openTrustStore, type TrustStore } from '../../src/crypto/trust.js'
import * as tlsApp from '../../src/http/tls-app.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { createTlsDialler } from '../../src/peer/client.js'
import type { PeerCredentials } from '../../src/peer/credentials.js'
import { defaultPeerLimits, type PeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { createTlsListen, PEER_PATH } from '../../src/peer/server.js'
import type { PeerEvent } from '../../src/peer/state.js'
import type { TagVault } from '../../src/peer/tags.js'
import { Desk, PAD_BLOCK_BYTES, TestPads } from './desk.js'
import { noting } from './nodes.js'
import { ReferenceVault } from './reference-tag.js'
import { idA, idB } from './rig.js'

export type BlockVault = TagVault & { addBlock (bytes: Uint8Array): number }

export interface Site {
  readonly folder: string
  readonly trust: TrustStore
  issue (request: IssueRequest): Promise<{ certificate: string, key: string }>
  credentials (id: string): PeerCredentials
}

export const makeSite = async (folder: string, ids: readonly string[], crlRequired = true): Promise<Site> => {
  const pki = { folder, clock: systemClock, random: systemRandom }
  await createPki(pki)
  const issue: Site['issue'] = (request) => issueCertificate(pki, request)
  for (const id of ids) await issue({ profile: 'kme-peer', id })
  const ca = caPaths(folder, 'kme')
  const trust = await openTrustStore({
    caFile: ca.certificate, crlFiles: [ca.crl], crlRequired, identity: { uriPrefix: 'urn:qkme:kme:', dns: false, cn: false }, usages: ['clientAuth', 'serverAuth'],
  }, systemClock)
  return {
    folder, trust, issue,
    credentials: (id) => {
      const leaf = leafPaths(folder, 'kme', id, 'peer')
      return { certificateFile: leaf.certificate, keyFile: leaf.key, caFile: ca.certificate, trust }
    },
  }
}

export interface TlsNode { readonly desk: Desk, readonly manager: PeerManager, readonly events: string[], readonly security: string[], readonly url: string }

export interface TlsNodeOptions {
  readonly self: string
  readonly remote: string
  readonly url?: string
  readonly credentials: PeerCredentials
  readonly limits?: Partial<PeerLimits>
  readonly vault?: BlockVault
  readonly incarnation?: number
  readonly socketsMax?: number
}

/** Starts one side and stops it with the test. The blocks are the same for both sides of a pair of names. */
export const startTlsNode = async (t: Test, options: TlsNodeOptions): Promise<TlsNode> => {
  const { self, remote, credentials, vault = new ReferenceVault() } = options
  const limits = { ...defaultPeerLimits, ...options.limits }
  const block = (owner: string) => ({ number: 1, handle: vault.addBlock(new Uint8Array(PAD_BLOCK_BYTES).map((_, i) => i * (owner < (owner === self ? remote : self) ? 13 : 29) + (i >> 7))) as never })
  const desk = new Desk(self, new TestPads(block(self), block(remote)), options.incarnation)
  const security: string[] = [], events: string[] = []
  const manager = createPeerManager({
    self, peers: [{ id: remote, ...options.url === undefined ? {} : { url: options.url } }], handlerFor: () => desk, vault, limits,
    clock: systemClock, random: systemRandom, log: noting(security),
    dialler: createTlsDialler({ credentials, clock: systemClock, connectTimeoutMs: limits.connectTimeoutMs, closeTimeoutMs: 500 }),
    listen: createTlsListen({ server: tlsApp, host: '127.0.0.1', port: 0, credentials, sendQueueBytesMax: limits.sendQueueBytesMax, socketsMax: options.socketsMax ?? 16 }),
  })
  manager.attach(remote, (event: PeerEvent) => { events.push(event.type === 'peer.disconnected' ? `disconnected:${event.reason}` : event.type.slice(5)) })
  await manager.start()
  t.teardown(() => { manager.stop() })
  return { desk, manager, events, security, url: `wss://127.0.0.1:${manager.port ?? 0}${PEER_PATH}` }
}

/** Waits until something holds; the test's own time limit is the bound. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => { setTimeout(resolve, 5) })
}

/** Two neighbours; the first knows the second's URL. */
export const pairOf = async (t: Test, site: Site, options: Partial<TlsNodeOptions> = {}): Promise<{ a: TlsNode, b: TlsNode }> => {
  const b = await startTlsNode(t, { self: idB, remote: idA, credentials: site.credentials(idB), ...options })
  const a = await startTlsNode(t, { self: idA, remote: idB, url: b.url, credentials: site.credentials(idA), ...options })
  return { a, b }
}

/** What a TLS client shows. */
export const files = (leaf: { certificate: string, key: string }): object => ({ cert: readFileSync(leaf.certificate), key: readFileSync(leaf.key) })

export const own = (site: Site, id: string): { certificate: string, key: string } => ({ certificate: site.credentials(id).certificateFile, key: site.credentials(id).keyFile })
