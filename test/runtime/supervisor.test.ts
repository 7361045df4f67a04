import { EventEmitter } from 'node:events'
import t from 'tap'
import type { AlertEdge } from '../../machines/part.js'
import { layers } from '../../machines/root.js'
import { restMachine } from '../../machines/server.js'
import { storeMachine } from '../../machines/store.js'
import { MetricRegistry } from '../../src/admin/metrics.js'
import { KmeError } from '../../src/kernel/errors.js'
import { quietLog, type Log } from '../../src/kernel/log.js'
import { installFatal } from '../../src/runtime/fatal.js'
import { refuseInspector } from '../../src/runtime/no-inspector.js'
import { createServerListener } from '../../src/runtime/server-shell.js'
import { installSignals } from '../../src/runtime/signals.js'
import { createStoreEffects } from '../../src/runtime/store-shell.js'
import { Supervisor } from '../../src/runtime/supervisor.js'
import { settle, SimClock } from '../../sim/clock.js'

const world = () => {
  const clock = new SimClock()
  const lines: string[] = [], alerts: AlertEdge[] = [], reloads: string[] = []
  const write = (message: string, fields?: object): void => { lines.push(`${message} ${JSON.stringify(fields)}`) }
  const log: Log = { ...quietLog, info: write, warn: write, error: write, fatal: write }
  let failStore: (error: unknown) => void = () => {}
  let failRest: (error: unknown) => void = () => {}
  const store = storeMachine.provide({ actors: { effects: createStoreEffects({
    open: async () => {}, close: async () => {}, watch: (on) => { failStore = (error) => { on({ type: 'failed', error }) }; return () => {} },
  }) } })
  const rest = restMachine.provide({ actors: { listener: createServerListener(async (onFailure) => {
    failRest = onFailure
    return { where: 'x', reload: () => { reloads.push('rest') }, drain: async () => {}, close: () => {} }
  }) } })
  const supervisor = new Supervisor({
    clock, log, alert: (edge) => { alerts.push(edge) }, store,
    parts: () => [{ id: 'rest', layer: layers.rest, logic: rest, input: { server: 'rest' }, vital: true, policy: { minMs: 100, maxMs: 100, stableMs: 1_000, attemptsMax: 2, stopMs: 1_000 } }],
  })
  return { clock, lines, alerts, reloads, supervisor, failStore: (e: unknown) => { failStore(e) }, failRest: (e: unknown) => { failRest(e) } }
}

t.test('the board knows every part, tells changes, and counts restarts', async t => {
  const w = world()
  const seen: string[] = []
  w.supervisor.board.watch('rest', (state) => { seen.push(state) })
  w.supervisor.start()
  await settle()
  t.equal(w.supervisor.state, 'working')
  t.equal(w.supervisor.board.state('store'), 'open')
  await settle()
  w.failRest(new KmeError('BUSY', 'gone'))
  await w.clock.advanceAsync(100)
  await settle()
  t.same(seen, ['', 'starting', 'listening', 'failed', 'starting', 'listening'])
  t.match(w.supervisor.board.list(), [{ id: 'store', state: 'open', restarts: 0 }, { id: 'rest', state: 'listening', restarts: 1 }])
  t.ok(w.lines.some((l) => l.startsWith('part restarts') && l.includes('gone')))
  t.match(w.supervisor.board.context('rest'), { where: 'x' })
  const metrics = new MetricRegistry()
  w.supervisor.board.registerMetrics(metrics)
  t.match((await metrics.text()).body, 'qkme_part_restarts_total{part="rest"} 1')
  w.supervisor.reload()
  await settle()
  t.same(w.reloads, ['rest'])
  w.supervisor.stop()
  t.same(await w.supervisor.ended, { cause: 'clean', code: '', reason: '' })
  t.equal(w.supervisor.board.send('rest', { type: 'server.reload' }), false, 'what has ended takes nothing')
  t.equal(w.clock.pending, 0, 'no timer is left')
})

t.test('the loss of the store, of a vital part, and force end with their causes', async t => {
  const a = world()
  a.supervisor.start()
  await settle()
  a.failStore(new KmeError('STORE_CORRUPT', 'bad'))
  t.same(await a.supervisor.ended, { cause: 'store', code: 'STORE_CORRUPT', reason: 'bad' })

  const b = world()
  b.supervisor.start()
  for (let i = 0; i < 3; i++) {
    await settle()
    b.failRest(new KmeError('PORT_TAKEN', 'in use'))
    await b.clock.advanceAsync(100)
  }
  t.same(await b.supervisor.ended, { cause: 'rest', code: 'PORT_TAKEN', reason: 'in use' })

  const c = world()
  c.supervisor.start()
  c.supervisor.force()
  t.equal((await c.supervisor.ended).cause, 'forced')
})

t.test('signals: stop, then force; reload; the inspector is not opened', async t => {
  const source = new EventEmitter()
  const did: string[] = []
  const remove = installSignals(source, { stop: () => { did.push('stop') }, force: () => { did.push('force') }, reload: () => { did.push('reload') } }, quietLog)
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGTERM', 'SIGINT', 'SIGTERM']) source.emit(signal)
  t.same(did, ['reload', 'stop', 'force', 'force'])
  t.equal(source.listenerCount('SIGUSR1'), 1, 'a handler of ours keeps Node from opening the inspector')
  remove()
  t.same(source.eventNames(), [])
})

t.test('an inspector is refused, by whatever way it came', async t => {
  const clean = { execArgv: ['--enable-source-maps'], nodeOptions: '--max-old-space-size=100', url: undefined }
  t.doesNotThrow(() => { refuseInspector(clean) })
  for (const arg of ['--inspect', '--inspect=0.0.0.0:9229', '--inspect-brk', '--inspect-port=1', '--debug']) {
    t.throws(() => { refuseInspector({ ...clean, execArgv: [arg] }) }, { code: 'CONFIG_INVALID' }, arg)
    t.throws(() => { refuseInspector({ ...clean, nodeOptions: `--a ${arg}` }) }, { code: 'CONFIG_INVALID' }, arg)
  }
  t.throws(() => { refuseInspector({ ...clean, url: 'ws://127.0.0.1:9229/x' }) }, { code: 'CONFIG_INVALID' })
})

t.test('an error that nobody caught wipes first, then tells, flushes and ends once', async t => {
  const source = new EventEmitter()
  const did: string[] = []
  const log: Log = { ...quietLog, fatal: (message) => { did.push(message) } }
  installFatal(source, {
    wipe: () => { did.push('wipe'); throw new Error('no vault yet') }, flush: () => { did.push('flush') }, exit: (code) => { did.push(`exit ${code}`) },
  }, log, 70)
  source.emit('uncaughtException', new Error('bug'))
  source.emit('unhandledRejection', new Error('another'))
  t.same(did, ['wipe', 'could not end in order', 'ending because of a bug', 'flush', 'exit 70'])
})
