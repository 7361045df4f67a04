import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { AlertQueue, type Deliver } from '../admin/alert-queue.js'
import type { AlertView } from '../admin/port.js'
import { createSyslog, type SyslogTarget } from '../admin/syslog.js'
import { createWebhook } from '../admin/webhook.js'
import type { Config } from '../config/schema.js'
import { severities, type Log, type Severity } from '../kernel/log.js'
import type { MetricSink } from '../kernel/metrics.js'
import type { Clock } from '../kernel/time.js'

const CHECK_MS = 50

/** What brings alerts out of this process, as `alerts` of the configuration says. Each sender has a queue of its own. */
export class AlertSenders {
  readonly #queues: readonly AlertQueue[]
  readonly #least: number

  /** @throws KmeError `CONFIG_INVALID` if the webhook's URL is not one. */
  constructor ({ alerts, kme }: Config, private readonly clock: Clock, log: Log) {
    this.#least = severities.indexOf(alerts.minSeverity as Severity)
    const queue = (name: string, deliver: Deliver): AlertQueue => new AlertQueue(name, deliver, clock, log)
    this.#queues = [
      ...(alerts.webhook === undefined ? [] : [queue('webhook', webhookOf(alerts.webhook, kme.id))]),
      ...(alerts.syslog === undefined ? [] : [queue('syslog', createSyslog({ target: targetOf(alerts.syslog), host: hostname(), kme: kme.id, processId: process.pid }))]),
    ]
  }

  /** Takes an edge. The end of an alert is sent if its beginning was: both have the same severity. */
  push (alert: AlertView): void {
    if (severities.indexOf(alert.severity) < this.#least) return
    for (const queue of this.#queues) queue.push(alert)
  }

  /** Edges that have not arrived yet. */
  get waiting (): number { return this.#queues.reduce((sum, queue) => sum + queue.waiting, 0) }

  registerMetrics (sink: MetricSink): void { for (const queue of this.#queues) queue.registerMetrics(sink) }

  /** The process ends: what waits has `graceMs` to arrive, so that the reason of an end is told. Then it is given up. */
  async finish (graceMs: number): Promise<void> {
    const untilMs = this.clock.monoMs() + graceMs
    while (this.waiting > 0 && this.clock.monoMs() < untilMs) await new Promise<void>((resolve) => { this.clock.after(CHECK_MS, resolve) })
    for (const queue of this.#queues) queue.close()
  }
}

type Alerts = Config['alerts']

/** Files are read anew for each alert: renewed ones need no restart, and one that is missing is a failure that is tried again. */
const webhookOf = ({ url, ca, tokenFile, timeoutMs }: NonNullable<Alerts['webhook']>, kme: string): Deliver => createWebhook({
  url, kme, timeoutMs,
  ...ca === undefined ? {} : { ca: () => readFileSync(ca) },
  ...tokenFile === undefined ? {} : { token: () => readFileSync(tokenFile, 'utf8').split('\n', 1)[0]!.trim() },
})

const targetOf = ({ host, port, socket }: NonNullable<Alerts['syslog']>): SyslogTarget =>
  socket === undefined ? { type: 'udp', host: host!, port } : { type: 'unix', path: socket }
