import t from 'tap'
import { createActor, fromCallback, type AnyActorLogic } from 'xstate'
import { layers, rootMachine, type PartSpec } from '../../machines/root.js'
import { restMachine } from '../../machines/server.js'
import { storeMachine } from '../../machines/store.js'
import { SimClock } from '../../sim/clock.js'
import { leaves } from './table.js'

const policy = { minMs: 100, maxMs: 100, stableMs: 10_000, attemptsMax: 1, stopMs: 1_000 }

/** A root over a store and named parts that write down what happens to them. */
const world = (options: { storeSays?: 'opened' | 'nothing', storeCloses?: boolean, stubborn?: string, supervisorStopMs?: number } = {}) => {
  const clock = new SimClock()
  const diary: string[] = []
  const tell = new Map<string, (event: { type: string, code?: string, reason?: string }) => void>()
  const store = storeMachine.provide({ actors: { effects: fromCallback(({ sendBack, receive }) => {
    tell.set('store', sendBack as never)
    receive((c) => {
      diary.push(c.type)
      if (c.type === 'store.open' && options.storeSays !== 'nothing') sendBack({ type: 'store.opened' })
      if (c.type === 'store.close' && options.storeCloses !== false) sendBack({ type: 'store.closed' })
    })
    return () => { diary.push('store gone') }
  }) } })
  const part = (id: string): AnyActorLogic => restMachine.provide({ actors: { listener: fromCallback(({ sendBack, receive }) => {
    diary.push(`${id} up`)
    tell.set(id, sendBack as never)
    sendBack({ type: 'server.listening', where: id })
    receive((c) => { if (c.type === 'server.drain' && options.stubborn !== id) sendBack({ type: 'server.drained' }) })
    return () => { diary.push(`${id} down`) }
  }) } })
  const spec = (id: string, layer: number, vital: boolean): PartSpec =>
    ({ id, layer, logic: part(id), input: { server: id, limits: { startMs: 1_000, drainMs: 100_000 } }, vital, policy: { ...policy, stopMs: options.supervisorStopMs ?? policy.stopMs } })
  const parts = [spec('rest', layers.rest, true), spec('pool/B', layers.pools, false), spec('device/1', layers.devices, false), spec('device/2', layers.devices, false)]
  const actor = createActor(rootMachine(store, parts, 5_000), { clock })
  const alerts: string[] = []
  actor.on('alert', (e) => { alerts.push(`${e.active ? '+' : '-'}${e.alert} ${e.subject}`) })
  actor.start()
  const fail = (id: string): void => { tell.get(id)?.({ type: 'server.failed', code: 'BUSY', reason: 'gone' }) }
  const state = (): string => JSON.stringify(actor.getSnapshot().value)
  return { clock, diary, tell, actor, alerts, fail, state }
}

t.test('parts start after the store is open, in order of their layers', async t => {
  const waiting = world({ storeSays: 'nothing' })
  t.same(waiting.diary, ['store.open'])
  t.equal(waiting.state(), '{"alive":"opening"}')
  waiting.tell.get('store')?.({ type: 'store.opened' })
  t.same(waiting.diary, ['store.open', 'device/1 up', 'device/2 up', 'pool/B up', 'rest up'])
  t.equal(waiting.state(), '{"alive":"working"}')
})

t.test('a clean stop goes from the highest layer down, and closes the store last', async t => {
  const w = world()
  w.diary.length = 0
  w.actor.send({ type: 'stop' })
  t.same(w.diary, ['rest down', 'pool/B down', 'device/1 down', 'device/2 down', 'store.close', 'store gone'])
  t.same(w.actor.getSnapshot().output, { cause: 'clean', code: '', reason: '' })
})

t.test('a part that fails is restarted alone; given up, it is lost with an alert and can be started again', async t => {
  const w = world()
  w.fail('device/1')
  w.clock.advance(100)
  t.equal(w.diary.filter((d) => d === 'device/1 up').length, 2)
  w.fail('device/1')
  t.equal(w.state(), '{"alive":"working"}')
  t.same(w.alerts, ['+part.lost device/1'])
  t.same(w.actor.getSnapshot().context.lost, ['device/1'])
  w.actor.send({ type: 'root.restartPart', part: 'rest' })
  t.equal(w.diary.filter((d) => d === 'rest up').length, 1, 'a part that runs is not started twice')
  w.actor.send({ type: 'root.restartPart', part: 'device/1' })
  t.equal(w.diary.filter((d) => d === 'device/1 up').length, 3)
  t.same(w.alerts, ['+part.lost device/1', '-part.lost device/1'])
  t.ok(w.actor.system.get('device/1'))
})

t.test('a vital part that is given up ends the process with its own cause, after a clean stop of the rest', async t => {
  const w = world()
  w.fail('rest')
  w.clock.advance(100)
  w.fail('rest')
  t.same(w.actor.getSnapshot().output, { cause: 'rest', code: 'BUSY', reason: 'gone' })
  t.same(w.diary.slice(-5), ['pool/B down', 'device/1 down', 'device/2 down', 'store.close', 'store gone'])
})

t.test('the loss of the store ends everything at once', async t => {
  const w = world()
  w.tell.get('store')?.({ type: 'store.failed', code: 'STORE_CORRUPT', reason: 'bad' })
  t.equal(w.actor.getSnapshot().status, 'done')
  t.same(w.actor.getSnapshot().output, { cause: 'store', code: 'STORE_CORRUPT', reason: 'bad' })
  for (const id of ['rest', 'pool/B', 'device/1', 'device/2', 'store']) {
    t.ok(w.diary.includes(id === 'store' ? 'store gone' : `${id} down`), `${id} was cleaned up`)
  }
})

t.test('a stop while the store is opening closes it and starts nothing', async t => {
  const w = world({ storeSays: 'nothing' })
  w.actor.send({ type: 'stop' })
  t.same(w.diary, ['store.open', 'store.close', 'store gone'])
  t.equal(w.actor.getSnapshot().output?.cause, 'clean')
})

t.test('a part that does not stop is cut off after its limit', async t => {
  const w = world({ stubborn: 'pool/B' })
  w.actor.send({ type: 'stop' })
  t.equal(w.state(), '{"alive":"stopping"}')
  w.clock.advance(999)
  t.notOk(w.diary.includes('pool/B down'))
  w.clock.advance(1)
  t.equal(w.actor.getSnapshot().output?.cause, 'clean')
  t.same(w.diary.slice(-5), ['pool/B down', 'device/1 down', 'device/2 down', 'store.close', 'store gone'])
})

t.test('a layer whose supervisors do not end either is cut off by the root', async t => {
  const w = world({ stubborn: 'pool/B', supervisorStopMs: 1_000_000 })
  w.actor.send({ type: 'stop' })
  w.clock.advance(4_999)
  t.notOk(w.diary.includes('pool/B down'))
  w.clock.advance(1)
  t.ok(w.diary.includes('pool/B down'))
  t.equal(w.actor.getSnapshot().output?.cause, 'clean')
})

t.test('a store that was full and has space again starts nothing twice', async t => {
  const w = world()
  w.tell.get('store')?.({ type: 'store.full' })
  w.tell.get('store')?.({ type: 'store.space' })
  t.equal(w.diary.filter((d) => d.endsWith(' up')).length, 4)
  t.equal(w.actor.getSnapshot().status, 'active')
})

t.test('force ends whatever is under way', async t => {
  const w = world({ stubborn: 'rest' })
  w.actor.send({ type: 'stop' })
  w.actor.send({ type: 'root.force' })
  t.equal(w.actor.getSnapshot().output?.cause, 'forced')
  t.ok(w.diary.includes('device/1 down'))
})

t.test('root: every state with every event', async t => {
  const paths = {
    opening: (w: ReturnType<typeof world>) => w,
    working: (w: ReturnType<typeof world>) => { w.tell.get('store')?.({ type: 'store.opened' }); return w },
    closing: (w: ReturnType<typeof world>) => { w.actor.send({ type: 'stop' }); return w },
    stopping: (w: ReturnType<typeof world>) => { w.tell.get('store')?.({ type: 'store.opened' }); w.actor.send({ type: 'stop' }); return w },
  }
  const events: Record<string, (w: ReturnType<typeof world>) => void> = {
    stop: (w) => { w.actor.send({ type: 'stop' }) },
    force: (w) => { w.actor.send({ type: 'root.force' }) },
    restart: (w) => { w.actor.send({ type: 'root.restartPart', part: 'device/1' }) },
    storeFails: (w) => { w.tell.get('store')?.({ type: 'store.failed', code: 'STORE_FULL', reason: '' }) },
    partFails: (w) => { w.fail('device/1') },
    wait: (w) => { w.clock.advance(4_000) },
  }
  const table: Record<keyof typeof paths, Record<string, string>> = {
    opening: { stop: 'closing', force: 'ended', restart: 'opening', storeFails: 'ended', partFails: 'opening', wait: 'opening' },
    working: { stop: 'stopping', force: 'ended', restart: 'working', storeFails: 'ended', partFails: 'working', wait: 'working' },
    stopping: { stop: 'stopping', force: 'ended', restart: 'stopping', storeFails: 'ended', partFails: 'stopping', wait: 'closing' },
    closing: { stop: 'closing', force: 'ended', restart: 'closing', storeFails: 'ended', partFails: 'closing', wait: 'closing' },
  }
  const states = leaves(world().actor.logic.root as never).map((s) => s.replace('alive.', '')).filter((s) => s !== 'ended')
  t.same(Object.keys(table).sort(), states.sort(), 'a row for every state but the last')
  for (const [state, targets] of Object.entries(table)) {
    t.same(Object.keys(targets), Object.keys(events), `${state}: a cell for every event`)
    for (const [event, target] of Object.entries(targets)) {
      const w = paths[state as keyof typeof paths](world({ storeSays: 'nothing', storeCloses: false, stubborn: 'rest' }))
      events[event]?.(w)
      const value = w.actor.getSnapshot().value as string | { alive: string }
      t.equal(typeof value === 'string' ? value : value.alive, target, `${state} + ${event}`)
      w.actor.stop()
    }
  }
})
