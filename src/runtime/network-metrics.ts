import type { MetricSink, Sample } from '../kernel/metrics.js'
import type { NetworkPath } from './network-path.js'

/** What `GET /metrics` shows of relay, tunnels and hybrid exchanges; nothing while there is no network. */
export const registerNetworkMetrics = (sink: MetricSink, network: () => NetworkPath | undefined): void => {
  const one = (value: (network: NetworkPath) => number) => (): Sample[] => {
    const now = network()
    return now === undefined ? [] : [{ value: value(now) }]
  }
  const jobs = (): Sample[] => {
    const counters = network()?.relay.counters
    if (counters === undefined) return []
    return [['done', counters.jobsDone], ['refused', counters.jobsRefused], ['failed', counters.jobsFailed], ['passed', counters.passedJobs], ['arrived', counters.arrivedJobs]]
      .map(([outcome, value]) => ({ labels: { outcome: outcome as string }, value: value as number }))
  }
  sink.register('qkme_relay_jobs_total', 'Relayed blocks, by what this KME had to do with them.', 'counter', jobs)
  sink.register('qkme_relay_passed_bytes_total', 'Bytes of blocks of others that were passed on.', 'counter', one((n) => n.relay.counters.passedBytes))
  sink.register('qkme_relay_lost_bytes_total', 'Bytes taken for blocks that were never confirmed.', 'counter', one((n) => n.relay.counters.lostBytes))
  sink.register('qkme_relay_aged_messages_total', 'Messages of the relay to neighbours that waited too long for pads or room, and were dropped.', 'counter', one((n) => n.relay.counters.agedMessages))
  sink.register('qkme_relay_lying_paths_total', 'Shares that were changed on their way.', 'counter', one((n) => n.relay.counters.lyingPaths))
  sink.register('qkme_relay_refusals_total', 'Blocks of others that were refused here, by cause.', 'counter', () =>
    Object.entries(network()?.relay.counters.refused ?? {}).map(([cause, value]) => ({ labels: { cause }, value })))
  sink.register('qkme_relayed_pools', 'Relayed pools, by whether the configuration names them or they came by themselves.', 'gauge', () => {
    const now = network()
    return now === undefined ? [] : [{ labels: { origin: 'configuration' }, value: now.poolCount - now.automatic.count }, { labels: { origin: 'automatic' }, value: now.automatic.count }]
  })
  sink.register('qkme_relayed_pools_automatic_total', 'Pools that opened here, were accepted or declined for others, and ended, by themselves.', 'counter', () =>
    Object.entries(network()?.automatic.counters ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })))
  sink.register('qkme_tunnel_sessions', 'Control channels that end here.', 'gauge', one((n) => n.control.hub.sessions))
  sink.register('qkme_tunnel_moved_total', 'Control channels that went over to another way.', 'counter', one((n) => n.control.hub.counters.moved))
  sink.register('qkme_tunnel_forwarded_bytes_total', 'Bytes of tunnels of others.', 'counter', one((n) => n.control.hub.counters.forwardedBytes))
  sink.register('qkme_tunnel_dropped_total', 'Pieces of tunnels that were dropped, by cause.', 'counter', () => {
    const counters = network()?.control.hub.counters
    return counters === undefined ? [] : (['badPath', 'congested', 'unroutable'] as const).map((cause) => ({ labels: { cause }, value: counters[cause] }))
  })
  sink.register('qkme_hybrid_exchanges_total', 'ML-KEM-768 exchanges, by outcome.', 'counter', () => {
    const counters = network()?.hybrid.counters
    return counters === undefined ? [] : (['agreed', 'mismatches', 'unanswered'] as const).map((outcome) => ({ labels: { outcome }, value: counters[outcome] }))
  })
  sink.register('qkme_hybrid_sealed_bytes_total', 'Bytes sealed under hybrid streams.', 'counter', one((n) => n.hybrid.counters.sealedBytes))
}
