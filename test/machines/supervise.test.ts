import t from 'tap'
import { createActor, fromCallback, type AnyActorLogic } from 'xstate'
import { endedWell, failedBy } from '../../machines/part.js'
import { serverLimits, restMachine } from '../../machines/server.js'
import { supervise, type RestartPolicy } from '../../machines/supervise.js'
import { SimClock } from '../../sim/clock.js'
import { checkTable } from './table.js'

const policy: RestartPolicy = { minMs: 100, maxMs: 1_000, stableMs: 10_000, attemptsMax: 3, stopMs: 2_000 }

const start = (child: AnyActorLogic, clock: SimClock, p = policy) => {
  const told: string[] = []
  const actor = createActor(supervise('part', child, p), { clock, input: { server: 'rest', limits: serverLimits } })
  actor.on('*', (e) => { told.push(`${e.what} ${e.attempt}`) })
  return { actor: actor.start(), told }
}

t.test('a child that always dies is retried attemptsMax times, then given up', async t => {
  const clock = new SimClock(), startsMs: number[] = []
  const dying = fromCallback(() => { startsMs.push(clock.now()); throw new Error('boom') })
  const { actor, told } = start(dying, clock)
  clock.advance(60_000)
  t.same(startsMs, [0, 100, 300, 700])
  t.equal(actor.getSnapshot().value, 'gaveUp')
  t.same(actor.getSnapshot().output, { failed: true, code: '', reason: 'boom' })
  t.same(told, ['restarting 1', 'restarting 2', 'restarting 3', 'gaveUp 3'])
})

t.test('a child that runs long enough is forgiven', async t => {
  const clock = new SimClock(), startsMs: number[] = []
  let fail: (() => void) | undefined
  const machine = restMachine.provide({ actors: { listener: fromCallback(({ sendBack }) => {
    startsMs.push(clock.now())
    sendBack({ type: 'server.listening', where: 'x' })
    fail = () => { sendBack({ type: 'server.failed', code: 'BUSY', reason: 'gone' }) }
  }) } })
  const { actor } = start(machine, clock)
  for (let i = 0; i < 8; i++) {
    clock.advance(10_000)
    fail?.()
    clock.advance(100)
  }
  t.same(actor.getSnapshot().value, { alive: 'running' }, 'eight failures, each forgiven: never given up')
  t.equal(startsMs.length, 9)
})

t.test('a child machine that finishes as failed counts like one that throws; one that finishes well ends it', async t => {
  const clock = new SimClock()
  const failing = restMachine.provide({ actors: { listener: fromCallback(({ sendBack }) => {
    sendBack({ type: 'server.failed', code: 'PORT_TAKEN', reason: 'in use' })
  }) } })
  const { actor, told } = start(failing, clock)
  clock.advance(60_000)
  t.same(actor.getSnapshot().output, { failed: true, code: 'PORT_TAKEN', reason: 'in use' })
  t.equal(told.length, 4)
  const well = start(restMachine.provide({ actors: { listener: fromCallback(() => {}) } }), clock)
  well.actor.send({ type: 'stop' })
  t.equal(well.actor.getSnapshot().value, 'finished')
  t.same(well.actor.getSnapshot().output, endedWell)
})

t.test('each life of the child is found under the same name', async t => {
  const clock = new SimClock()
  const mortal = restMachine.provide({ actors: { listener: fromCallback(() => {}) } })
  const { actor } = start(mortal, clock)
  const first = actor.system.get('part')
  first.send({ type: 'server.failed', code: 'BUSY', reason: 'gone' })
  t.equal(actor.system.get('part'), undefined)
  clock.advance(100)
  const second = actor.system.get('part')
  t.ok(second)
  t.not(second, first)
})

t.test('an input that is a function is asked at each start of the child', async t => {
  const clock = new SimClock()
  const inputs: unknown[] = []
  let given = 0
  const mortal = fromCallback<{ type: 'x' }, unknown>(({ input }) => { inputs.push(input); throw new Error('boom') })
  createActor(supervise('part', mortal, policy), { clock, input: () => ++given }).start()
  clock.advance(60_000)
  t.same(inputs, [1, 2, 3, 4])
})

t.test('a child that does not stop in time is cut off', async t => {
  const clock = new SimClock()
  let cleaned = 0
  const stubborn = fromCallback(() => () => { cleaned += 1 })
  const { actor, told } = start(stubborn, clock)
  actor.send({ type: 'stop' })
  clock.advance(1_999)
  t.equal(cleaned, 0)
  clock.advance(1)
  t.equal(cleaned, 1)
  t.equal(actor.getSnapshot().value, 'finished')
  t.same(told, ['cutOff 0'])
})

t.test('supervisor: every state with every event', async t => {
  const dies = { type: 'xstate.error.actor.child', error: new Error('boom') }
  checkTable(t, {
    machine: supervise('part', fromCallback(() => {}), policy), input: {},
    columns: {
      stop: { type: 'stop' }, dies,
      doneWell: { type: 'xstate.done.actor.child', output: endedWell },
      doneBadly: { type: 'xstate.done.actor.child', output: failedBy(new Error('boom')) }, wait2s: 2_000,
    },
    paths: {
      'alive.running': [], 'alive.stopping': [{ type: 'stop' }], waiting: [dies],
      finished: [{ type: 'xstate.done.actor.child', output: endedWell }], gaveUp: [dies, 100, dies, 200, dies, 400, dies],
    },
    rows: {
      //                 stop           dies    doneWell doneBadly 2s
      'alive.running':  'alive.stopping waiting finished waiting   .',
      'alive.stopping': '.              finished finished finished finished',
      waiting:          'finished       -       -        -         alive.running',
      finished:         '.              .       .        .         .',
      gaveUp:           '.              .       .        .         .',
    },
  })
})

t.test('what was thrown is told by its text if it is an Error, else by its type only', async t => {
  t.equal(failedBy('secret').reason, 'threw a value of type string')
  t.equal(failedBy(new Error('x'.repeat(1_000))).reason.length, 300)
  t.equal(failedBy(Object.assign(new Error('e'), { code: 'STORE_FULL' })).code, 'STORE_FULL')
})
