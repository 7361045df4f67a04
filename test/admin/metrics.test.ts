import t from 'tap'
import { MetricRegistry } from '../../src/admin/metrics.js'
import { registerProcessMetrics } from '../../src/admin/process-metrics.js'
import { Counters, DoublingHistogram } from '../../src/kernel/metrics.js'

t.test('a scrape reads the numbers as they are then', async t => {
  const registry = new MetricRegistry()
  const counters = new Counters(['ok', 'refused'])
  registry.register('qkme_rest_requests_total', 'Requests.', 'counter', () => counters.samples('result'))
  t.match((await registry.text()).body, 'qkme_rest_requests_total{result="ok"} 0')
  counters.add('ok', 3)
  const { body, contentType } = await registry.text()
  t.match(body, '# TYPE qkme_rest_requests_total counter\nqkme_rest_requests_total{result="ok"} 3\nqkme_rest_requests_total{result="refused"} 0')
  t.match(contentType, /^text\/plain; version=0\.0\.4/)
})

t.test('a histogram is cumulative and has its sum and count', async t => {
  const registry = new MetricRegistry()
  const h = new DoublingHistogram(1, 2)
  for (const v of [0.5, 1.5, 1.5, 9]) h.observe(v)
  registry.histogram('qkme_rest_latency_seconds', 'Latency.', () => [h.sample({ method: 'status' })])
  const { body } = await registry.text()
  for (const line of ['_bucket{method="status",le="1"} 1', '_bucket{method="status",le="2"} 3', '_bucket{method="status",le="+Inf"} 4', '_sum{method="status"} 12.5', '_count{method="status"} 4']) {
    t.match(body, `qkme_rest_latency_seconds${line}`)
  }
})

t.test('label values are escaped', async t => {
  const registry = new MetricRegistry()
  registry.register('qkme_x', 'X.', 'gauge', () => [{ labels: { sae: 'a"b\nc\\' }, value: 1 }])
  t.match((await registry.text()).body, 'qkme_x{sae="a\\"b\\nc\\\\"} 1')
})

t.test('a reader that throws is counted and hides nothing else; too many series are cut and counted', async t => {
  const registry = new MetricRegistry()
  registry.register('qkme_broken', 'B.', 'gauge', () => { throw new Error('boom') })
  registry.register('qkme_wide', 'W.', 'gauge', () => Array.from({ length: 20_005 }, (_, i) => ({ labels: { i: String(i) }, value: i })))
  registry.register('qkme_fine', 'F.', 'gauge', () => [{ value: 42 }])
  const first = (await registry.text()).body
  t.match(first, 'qkme_fine 42')
  t.notMatch(first, 'i="20000"')
  const second = (await registry.text()).body
  t.match(second, 'qkme_scrape_errors_total 1')
  t.match(second, 'qkme_scrape_cut_series_total 5')
})

t.test('names are checked and taken once', async t => {
  const registry = new MetricRegistry()
  t.throws(() => { registry.register('other_name', '', 'gauge', () => []) }, /metric name/)
  t.throws(() => { registry.register('qkme_requests', '', 'counter', () => []) }, /_total/)
  registry.register('qkme_x', '', 'gauge', () => [])
  t.throws(() => { registry.register('qkme_x', '', 'gauge', () => []) }, /once/)
})

t.test('the process tells its memory, CPU time and event loop', async t => {
  const registry = new MetricRegistry()
  const end = registerProcessMetrics(registry)
  t.teardown(end)
  const { body } = await registry.text()
  for (const name of ['qkme_process_memory_bytes{kind="rss"}', 'qkme_process_cpu_seconds_total{mode="user"}', 'qkme_process_event_loop_delay_seconds{quantile="0.99"}']) t.match(body, name)
})
