import type { MetricSink, Sample } from '../kernel/metrics.js'
import type { RoutingPath } from './routing-path.js'

/** What `GET /metrics` shows of routing; nothing while there is none. */
export const registerRoutingMetrics = (sink: MetricSink, routing: () => RoutingPath | undefined): void => {
  const each = (value: (counters: ReturnType<RoutingPath['router']['flood']['counters']>[number]) => number) => (): Sample[] =>
    (routing()?.router.flood.counters() ?? []).map((c) => ({ labels: { peer: c.neighbour }, value: value(c) }))
  sink.register('qkme_routing_kmes', 'KMEs of which there is an announcement.', 'gauge', () => [{ value: routing()?.router.database.originCount ?? 0 }])
  sink.register('qkme_routing_database_bytes', 'Bytes of the announcements held.', 'gauge', () => [{ value: routing()?.router.database.bytes ?? 0 }])
  sink.register('qkme_routing_records_total', 'Announcements that neighbours brought, by what became of them.', 'counter', () => routing()?.router.flood.intake.outcomes.samples('outcome') ?? [])
  sink.register('qkme_routing_sent_bytes_total', 'Bytes of announcements and digests sent to a neighbour.', 'counter', each((c) => c.bytes))
  sink.register('qkme_routing_sent_records_total', 'Announcements sent to a neighbour.', 'counter', each((c) => c.records))
  sink.register('qkme_routing_waiting_records', 'Announcements that wait to be sent to a neighbour.', 'gauge', each((c) => c.waiting))
}
