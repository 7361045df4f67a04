import { registerProcessMetrics } from '../admin/process-metrics.js'
import type { AlertList } from '../admin/alerts.js'
import type { Config } from '../config/schema.js'
import type { MetricSink, Sample } from '../kernel/metrics.js'
import type { PeerManager } from '../peer/manager.js'
import { stockOf } from '../pool/accounts.js'
import type { PartState } from './board.js'
import type { Keyspace } from './keyspace.js'
import type { LinkPath } from './link-path.js'
import type { LogRoot } from './pino-log.js'
import type { SessionRegistry } from './sessions.js'
import type { Supervisor } from './supervisor.js'

export interface MetricSources {
  readonly keyspace: Keyspace
  readonly supervisor: Supervisor
  readonly peers: PeerManager
  readonly config: Config
  readonly logs: LogRoot
  readonly links: () => ReadonlyMap<number, LinkPath>
  readonly sessions: SessionRegistry
  readonly alerts: AlertList
  /** Parts that the root does not know: control channels. */
  readonly otherParts: () => readonly PartState[]
}

/** Everything that `GET /metrics` shows. Read when somebody asks; nothing here is on the path of a request. */
export const registerMetrics = (sink: MetricSink, s: MetricSources): void => {
  registerProcessMetrics(sink)
  s.supervisor.board.registerMetrics(sink, s.otherParts)
  pools(sink, s)
  peers(sink, s)
  const { vault } = s.keyspace
  sink.register('qkme_arena_cells', 'Cells of locked memory, by use.', 'gauge', () => {
    const { cellsTotal, cellsUsed, cellsPinned } = vault.stats()
    return [{ labels: { use: 'total' }, value: cellsTotal }, { labels: { use: 'used' }, value: cellsUsed }, { labels: { use: 'pinned' }, value: cellsPinned }]
  })
  sink.register('qkme_link_bytes_total', 'Key bytes taken from the devices of a link.', 'counter', () =>
    [...s.links()].map(([link, path]) => ({ labels: { link: String(link) }, value: path.bytesTaken })))
  sink.register('qkme_link_frames_dropped_total', 'Frames dropped while the link was in quarantine.', 'counter', () =>
    [...s.links()].map(([link, path]) => ({ labels: { link: String(link) }, value: path.droppedFrames })))
  sink.register('qkme_saes', 'Registered SAEs.', 'gauge', () => [{ value: s.sessions.size }])
  sink.register('qkme_alerts_active', 'Active alerts.', 'gauge', () => [{ value: s.alerts.activeCount }])
  sink.register('qkme_alert_active', 'Active alerts by kind and severity: how many subjects each has.', 'gauge', () => activeAlerts(s.alerts))
  sink.register('qkme_log_lines_total', 'Lines written, by level.', 'counter', () => s.logs.lineCounts.samples('level'))
  sink.register('qkme_security_events_total', 'Security events, by category and severity.', 'counter', () => s.logs.securityCounts.samples('event'))
}

const activeAlerts = (alerts: AlertList): Sample[] => {
  const counts = new Map<string, { labels: { alert: string, severity: string }, value: number }>()
  for (const { id, severity, active } of alerts.list()) {
    if (!active) continue
    const key = `${id} ${severity}`, count = counts.get(key)
    if (count === undefined) counts.set(key, { labels: { alert: id, severity }, value: 1 })
    else count.value += 1
  }
  return [...counts.values()]
}

const pools = (sink: MetricSink, { keyspace }: MetricSources): void => {
  const each = (value: (pool: Parameters<typeof stockOf>[0]) => number) => (): Sample[] => {
    if (!keyspace.isOpen) return []
    return [...keyspace.now.all.values()].map((p) => ({ labels: { pool: p.core.pool }, value: value(p) }))
  }
  sink.register('qkme_pool_stock_bytes', 'Key in stock: both lanes, and frames that wait.', 'gauge', each(stockOf))
  sink.register('qkme_pool_deliverable_bytes', 'Key that masters here can be given now.', 'gauge', each((p) => p.lane.freeBytes(p.core.ready || p.kind === 'local')))
  sink.register('qkme_pool_ingested_bytes_total', 'Key taken from devices.', 'counter', each((p) => p.core.account.ingested))
  sink.register('qkme_pool_delivered_bytes_total', 'Key delivered.', 'counter', each((p) => p.core.account.delivered))
  sink.register('qkme_pool_burned_bytes_total', 'Key burned.', 'counter', each((p) => Object.values(p.core.account.burned).reduce((a, b) => a + b, 0)))
  sink.register('qkme_pool_blocks', 'Blocks in stock.', 'gauge', each((p) => p.core.blocks.size))
}

const peers = (sink: MetricSink, { peers, config }: MetricSources): void => {
  const each = (value: (status: ReturnType<PeerManager['status']>) => number) => (): Sample[] =>
    config.peers.map(({ kme }) => ({ labels: { peer: kme }, value: value(peers.status(kme)) }))
  sink.register('qkme_peer_sent_bytes_total', 'Bytes sent to a peer.', 'counter', each((p) => p.counters.sentBytes))
  sink.register('qkme_peer_received_bytes_total', 'Bytes received from a peer.', 'counter', each((p) => p.counters.receivedBytes))
  sink.register('qkme_peer_pads_total', 'One-time pads used for tags.', 'counter', each((p) => p.counters.padsUsed))
  sink.register('qkme_peer_connections_total', 'Connections that became ready.', 'counter', each((p) => p.counters.connections))
}
