import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { settle, SimClock } from '../../sim/clock.js'
import type { AlertView } from '../../src/admin/port.js'
import { readConfig } from '../../src/config/load.js'
import type { Config } from '../../src/config/schema.js'
import { quietLog } from '../../src/kernel/log.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { AlertSenders } from '../../src/runtime/alert-senders.js'
import { shortFolder } from '../config/examples.js'

const view: AlertView = { id: 'pool.low', subject: 'B', severity: 'high', message: 'm', active: true, since: '2026-01-01T00:00:00.000Z', clearedAt: null, count: 1 }

const configured = (alerts: object): Config => {
  const variables = {
    QKME_KME_ID: 'kme-x', QKME_REST_TLS_CERTIFICATE: 'c', QKME_REST_TLS_KEY: 'k', QKME_REST_TLS_CA: 'a', QKME_REST_TLS_CRL_REQUIRED: 'false', QKME_STORE_MASTER_KEY_FILE: 'm',
    ...Object.fromEntries(Object.entries(alerts).map(([name, value]) => [`QKME_ALERTS_${name}`, String(value)])),
  }
  const result = readConfig({ variables, workingFolder: '/w', checkFiles: false })
  if (!result.ok) throw new Error(JSON.stringify(result.faults))
  return result.config
}

t.test('syslog of the configuration gets the edges from minSeverity up, and the last ones before the end', async t => {
  const udp = createSocket('udp4')
  await new Promise<void>((resolve) => { udp.bind(0, '127.0.0.1', resolve) })
  t.teardown(() => { udp.close() })
  const got: string[] = []
  udp.on('message', (m) => { got.push(m.toString()) })
  const senders = new AlertSenders(configured({ SYSLOG_HOST: '127.0.0.1', SYSLOG_PORT: udp.address().port, MIN_SEVERITY: 'medium' }), systemClock, quietLog)
  senders.push({ ...view, severity: 'low', subject: 'quiet' })
  senders.push(view)
  senders.push({ ...view, active: false, clearedAt: '2026-01-02T00:00:00.000Z' })
  t.equal(senders.waiting, 2)
  await senders.finish(3_000)
  t.equal(senders.waiting, 0)
  while (got.length < 2) await new Promise((resolve) => { udp.once('message', resolve) })
  t.match(got, [/^<83>1 .* kme="kme-x" subject="B"/, /^<85>1 /])
})

t.test('a Unix socket takes them, too; the end waits no longer than its time', async t => {
  const path = join(shortFolder(t), 'log')
  let text = ''
  const server = createServer((socket) => { socket.on('data', (d: Buffer) => { text += d.toString() }) }).listen(path)
  await new Promise((resolve) => { server.once('listening', resolve) })
  const senders = new AlertSenders(configured({ SYSLOG_SOCKET: path }), systemClock, quietLog)
  senders.push(view)
  await senders.finish(3_000)
  t.match(text, /^\d+ <83>1 /)
  server.close()
  const clock = new SimClock(), gone = new AlertSenders(configured({ SYSLOG_SOCKET: path }), clock, quietLog)
  gone.push(view)
  let ended = false
  const finishing = gone.finish(1_000).then(() => { ended = true })
  await clock.advanceAsync(900)
  t.notOk(ended, 'it is tried until the time is over')
  await clock.advanceAsync(200)
  await finishing
  t.equal(gone.waiting, 0, 'then it is given up')
})

t.test('a webhook whose token cannot be read is tried again, not given up', async t => {
  const clock = new SimClock(), senders = new AlertSenders(configured({ WEBHOOK_URL: 'https://127.0.0.1:1/x', WEBHOOK_TOKEN_FILE: '/nowhere/token' }), clock, quietLog)
  senders.push(view)
  await settle()
  await clock.advanceAsync(5_000)
  t.equal(senders.waiting, 1)
})

t.test('without settings nothing is sent and nothing waits', async t => {
  const senders = new AlertSenders(configured({}), systemClock, quietLog)
  senders.push(view)
  t.equal(senders.waiting, 0)
  await senders.finish(10_000)
})
