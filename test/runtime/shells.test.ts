import t from 'tap'
import { createActor, fromCallback } from 'xstate'
import { linkMachine } from '../../machines/link.js'
import { peerMachine } from '../../machines/peer.js'
import { poolMachine } from '../../machines/pool.js'
import { restMachine } from '../../machines/server.js'
import { storeMachine } from '../../machines/store.js'
import { KmeError } from '../../src/kernel/errors.js'
import { quietLog } from '../../src/kernel/log.js'
import { PartBoard } from '../../src/runtime/board.js'
import { createLinkEffects, type LinkPort } from '../../src/runtime/link-shell.js'
import { retryWithJitter } from '../../src/runtime/peer-shell.js'
import { createPoolEffects, type PoolPort } from '../../src/runtime/pool-shell.js'
import { createServerListener, type RunningServer } from '../../src/runtime/server-shell.js'
import { createStoreEffects, type StorePort } from '../../src/runtime/store-shell.js'
import { machineClock } from '../../src/runtime/xstate-clock.js'
import { settle, SimClock } from '../../sim/clock.js'

t.test('server: starts, reloads, drains and closes; a bad reload keeps serving', async t => {
  const did: string[] = []
  let bad = false
  let fail: (error: unknown) => void = () => {}
  const server: RunningServer = {
    where: ':8443', reload: () => { did.push('reload'); if (bad) throw new KmeError('CERTIFICATE_INVALID', 'no such file') },
    drain: async () => { did.push('drain') }, close: () => { did.push('close') },
  }
  const start = () => createActor(restMachine.provide({ actors: { listener: createServerListener(async (onFailure) => { fail = onFailure; return server }) } }), { input: { server: 'rest' } }).start()
  const actor = start()
  await settle()
  t.equal(actor.getSnapshot().value, 'listening')
  t.equal(actor.getSnapshot().context.where, ':8443')
  actor.send({ type: 'server.reload' })
  await settle()
  bad = true
  actor.send({ type: 'server.reload' })
  await settle()
  t.equal(actor.getSnapshot().value, 'listening')
  t.equal(actor.getSnapshot().context.reason, 'no such file')
  actor.send({ type: 'stop' })
  await settle()
  t.equal(actor.getSnapshot().value, 'stopped')
  t.same(did, ['reload', 'reload', 'drain', 'close'])
  const second = start()
  await settle()
  fail(new KmeError('BUSY', 'gone'))
  t.same(second.getSnapshot().output, { failed: true, code: 'BUSY', reason: 'gone' })
})

t.test('server: one that cannot start fails with its code; one stopped while starting is closed when it comes', async t => {
  const failing = createActor(restMachine.provide({ actors: { listener: createServerListener(async () => { throw new KmeError('PORT_TAKEN', 'in use') }) } }), { input: { server: 'rest' } }).start()
  await settle()
  t.same(failing.getSnapshot().output, { failed: true, code: 'PORT_TAKEN', reason: 'in use' })
  let closed = 0
  let arrive: (server: RunningServer) => void = () => {}
  const slow = createActor(restMachine.provide({ actors: { listener: createServerListener(() => new Promise((resolve) => { arrive = resolve })) } }), { input: { server: 'rest' } }).start()
  slow.send({ type: 'stop' })
  arrive({ where: '', reload: () => {}, drain: async () => {}, close: () => { closed += 1 } })
  await settle()
  t.equal(closed, 1)
})

t.test('store: opens, tells full and failures, and closes after an opening that is under way', async t => {
  const did: string[] = []
  let tell: Parameters<StorePort['watch']>[0] = () => {}
  let opened: () => void = () => {}
  const port: StorePort = {
    open: () => new Promise((resolve) => { opened = () => { did.push('open'); resolve() } }),
    close: async () => { did.push('close') }, watch: (on) => { tell = on; return () => { did.push('unwatch') } },
  }
  const start = () => createActor(storeMachine.provide({ actors: { effects: createStoreEffects(port) } }), { input: {} }).start()
  const actor = start()
  await settle()
  actor.send({ type: 'stop' })
  opened()
  await settle()
  t.same(did, ['open', 'close', 'unwatch'])
  t.equal(actor.getSnapshot().value, 'closed')
  const second = start()
  await settle()
  opened()
  await settle()
  tell({ type: 'full' })
  t.equal(second.getSnapshot().value, 'full')
  tell({ type: 'space' })
  tell({ type: 'failed', error: new KmeError('STORE_UNAVAILABLE', 'I/O') })
  t.same(second.getSnapshot().output, { failed: true, code: 'STORE_UNAVAILABLE', reason: 'I/O' })
})

t.test('link: looks at device and peer on the board, refuses nonsense rates, keeps admission', async t => {
  const board = new PartBoard({ log: quietLog, alert: () => {} })
  const admissions: string[] = []
  let tell: Parameters<LinkPort['listen']>[0] = () => {}
  const states = new Map<string, (state: string) => void>()
  board.watch = (id, fn) => { states.set(id, fn); fn(''); return () => { states.delete(id) } }
  const port: LinkPort = { listen: (on) => { tell = on; return () => {} }, setAdmission: (cause) => { admissions.push(cause) } }
  const actor = createActor(linkMachine.provide({ actors: { effects: createLinkEffects(port, board, { device: 'device/1', peer: 'peer/B' }) } }), { input: { link: '1' } }).start()
  states.get('device/1')?.('attached')
  t.equal(actor.getSnapshot().value, 'down')
  states.get('peer/B')?.('ready')
  t.equal(actor.getSnapshot().value, 'synchronising')
  tell({ type: 'link.confirmed' })
  for (const qber of [NaN, -0.1, 1.5]) tell({ type: 'link.qber', qber })
  t.equal(actor.getSnapshot().value, 'up')
  tell({ type: 'link.qber', qber: 0.2 })
  t.equal(actor.getSnapshot().value, 'quarantined')
  actor.send({ type: 'link.release' })
  t.same(admissions, ['qber', ''])
  states.get('device/1')?.('faulty')
  actor.stop()
  t.equal(states.size, 0, 'nothing is watched any more')
})

t.test('pool: levels are measured each second, commands reach the engine, a stop waits for the bye', async t => {
  const clock = new SimClock()
  const did: string[] = []
  const level = { stockBits: 0, suppliedBits: 0, consumedBits: 0 }
  let tell: Parameters<PoolPort['listen']>[0] = () => {}
  let said: () => void = () => {}
  const port: PoolPort = {
    listen: (on) => { tell = on; return () => { did.push('unlisten') } }, level: () => ({ ...level }),
    setSuspension: (reason) => { did.push(`suspension:${reason}`) }, replenish: (reason) => { did.push(`replenish:${reason}`); return 'no peer' },
    close: () => new Promise((resolve) => { said = resolve }),
  }
  const actor = createActor(poolMachine.provide({ actors: { effects: createPoolEffects(port, clock) } }), { clock: machineClock(clock), input: { pool: 'B' } }).start()
  tell({ type: 'pool.hello' })
  Object.assign(level, { stockBits: 3_000_000, suppliedBits: 3_000_000 })
  clock.advance(1_000)
  t.equal(actor.getSnapshot().value, 'ready')
  t.ok(actor.getSnapshot().context.flow.supplyBitsPerS > 0)
  level.stockBits = 500_000
  clock.advance(1_000)
  t.equal(actor.getSnapshot().value, 'low')
  t.equal(actor.getSnapshot().context.replenishFailures, 1)
  tell({ type: 'pool.suspend', reason: 'overlap' })
  actor.send({ type: 'pool.resume' })
  t.same(did, ['replenish:low', 'suspension:overlap', 'suspension:'])
  actor.send({ type: 'stop' })
  t.equal(actor.getSnapshot().value, 'closing')
  said()
  await settle()
  t.equal(actor.getSnapshot().value, 'stopped')
  t.equal(did.at(-1), 'unlisten')
  t.equal(clock.pending, 0, 'no timer is left')
})

t.test('peer: half of the wait before the next call is chance', async t => {
  const clock = new SimClock()
  const start = (drawn: (bound: number) => number) => createActor(peerMachine.provide({
    actors: { channel: fromCallback(() => {}) }, delays: { retry: retryWithJitter({ bytes: () => new Uint8Array(), integer: drawn }) },
  }), { clock: machineClock(clock), input: { peer: 'B', dials: true } }).start()
  for (const [drawn, waitMs] of [[() => 0, 250], [(bound: number) => bound - 1, 499]] as const) {
    const actor = start(drawn)
    actor.send({ type: 'peer.closed', reason: 'x', refused: false })
    clock.advance(waitMs - 1)
    t.equal(actor.getSnapshot().value, 'backingOff')
    clock.advance(1)
    t.equal(actor.getSnapshot().value, 'connecting')
  }
})
