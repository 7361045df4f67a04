import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { MetricSink } from '../kernel/metrics.js'

const nsPerS = 1e9

/**
 * Registers what the process itself costs: memory, CPU time, delay of the event loop.
 *
 * @returns ends the measurement of the event loop.
 */
export const registerProcessMetrics = (sink: MetricSink): (() => void) => {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  sink.register('qkme_process_memory_bytes', 'Memory by kind; rss counts mapped pages of the store.', 'gauge', () => {
    const m = process.memoryUsage()
    return [
      { labels: { kind: 'rss' }, value: m.rss }, { labels: { kind: 'heap_used' }, value: m.heapUsed },
      { labels: { kind: 'heap_total' }, value: m.heapTotal }, { labels: { kind: 'external' }, value: m.external },
    ]
  })
  sink.register('qkme_process_cpu_seconds_total', 'CPU time by mode.', 'counter', () => {
    const { user, system } = process.cpuUsage()
    return [{ labels: { mode: 'user' }, value: user / 1e6 }, { labels: { mode: 'system' }, value: system / 1e6 }]
  })
  sink.register('qkme_process_uptime_seconds', 'Time since the process started.', 'gauge', () => [{ value: process.uptime() }])
  sink.register('qkme_process_event_loop_delay_seconds', 'Delay of the event loop since the last scrape.', 'gauge', () => {
    const samples = [50, 99, 100].map((p) => ({ labels: { quantile: String(p / 100) }, value: delay.percentile(p) / nsPerS }))
    delay.reset()
    return samples
  })
  return () => { delay.disable() }
}
