import t from 'tap'
import { measure, stillWater, timeToEmptyMs } from '../../machines/forecast.js'
import { poolMachine, type PoolContext } from '../../machines/pool.js'
import { checkTable, run, type Bench } from './table.js'

const limits = { readyBits: 1_000, lowBits: 500, exhaustedBits: 100, resumeBits: 200, forecastMs: 10_000, tauMs: 1_000, closeMs: 5_000 }
const bench: Bench = { machine: poolMachine, input: { pool: 'p', limits }, effects: 'effects' }
const hello = { type: 'pool.hello' }
const away = { type: 'pool.peer', present: false }
const level = (stockBits: number, suppliedBits = 0, consumedBits = 0) =>
  ({ type: 'pool.level', stockBits, suppliedBits, consumedBits, intervalMs: 1_000 })
const full = level(1_000), middle = level(700), lowish = level(300), scant = level(150), nothing = level(0)
const voided = { type: 'pool.voided', reason: 'copy' }
const suspend = { type: 'pool.suspend', reason: 'overlap' }
const resume = { type: 'pool.resume' }
const held = { type: 'pool.held', reason: 'audit' }, released = { type: 'pool.held', reason: '' }
const replenish = { type: 'pool.replenish' }
const replenishFailed = { type: 'pool.replenishFailed', reason: 'no peer' }
const closed = { type: 'pool.closed' }
const stop = { type: 'stop' }
const effectsDie = { type: 'xstate.error.actor.effects', error: new Error('boom') }

t.test('pool: every state with every event', async t => {
  const w = 'waitingForHello', s = 'suspended', h = 'held', rest = 'closing failed'
  checkTable(t, {
    ...bench, passing: ['deciding', 'assessing'],
    columns: {
      hello, away, full, middle, lowish, scant, nothing, voided, suspend, resume, held, released, replenish, replenishFailed, closed,
      stop, effectsDie, wait5s: 5_000,
    },
    paths: {
      waitingForHello: [], empty: [hello], filling: [hello, lowish], ready: [hello, full], low: [hello, full, lowish],
      exhausted: [hello, full, nothing], held: [hello, full, held], suspended: [hello, full, suspend], closing: [stop], stopped: [stop, closed], failed: [effectsDie],
    },
    rows: {
      //                hello  away full    middle  lowish  scant nothing   voided suspend resume held released replenish failed closed stop+effectsDie wait
      waitingForHello: `empty  .    .       .       .       .     .         .      ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      empty:           `.      .    ready   filling filling .     .         ${w}   ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      filling:         `.      .    ready   .       .       .     exhausted ${w}   ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      ready:           `.      .    .       .       low     low   exhausted ${w}   ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      low:             `.      .    ready   .       .       .     exhausted ${w}   ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      exhausted:       `.      .    ready   filling filling .     .         ${w}   ${s}    .      ${h} .        .         .      .      ${rest}         .`,
      held:            `.      .    .       .       .       .     .         .      ${s}    .      .    ready    .         .      .      ${rest}         .`,
      suspended:       `.      .    .       .       .       .     .         .      .       ready  .    .        .         .      .      ${rest}         .`,
      closing:         '.      .    .       .       .       .     .         .      .       .      .    .        .         .      stopped . failed        stopped',
      stopped:         '.      .    .       .       .       .     .         .      .       .      .    .        .         .      .      . .             .',
      failed:          '.      .    .       .       .       .     .         .      .       .      .    .        .         .      .      . .             .',
    },
  })
})

t.test('stock that was counted before the hello does not count', async t => {
  t.equal(run(bench, full, hello).state(), 'empty')
})

t.test('after a suspension the state follows from the stock', async t => {
  const suspended = [hello, full, suspend]
  t.equal(run(bench, ...suspended, resume).state(), 'ready')
  t.equal(run(bench, ...suspended, lowish, resume).state(), 'filling')
  t.equal(run(bench, ...suspended, nothing, resume).state(), 'exhausted')
  t.equal(run(bench, ...suspended, voided, resume).state(), 'waitingForHello', 'voided stock needs a hello again')
  t.equal(run(bench, suspend, hello, resume).state(), 'exhausted', 'a hello while suspended is not lost')
})

t.test('a suspension stops the service and only its end starts it again', async t => {
  const r = run(bench, hello, full, suspend)
  t.same(r.commands, ['pool.service {"on":false,"reason":"overlap"}'])
  t.ok(r.emitted.includes('security:pool.suspended'))
  r.play(hello, full, voided)
  t.equal(r.commands.length, 1)
  r.play(resume)
  t.equal(r.commands.at(-1), 'pool.service {"on":true}')
})

t.test('a pool that runs low is replenished once per edge, and told', async t => {
  const r = run(bench, hello, full, lowish, lowish, level(450))
  t.same(r.commands, ['pool.replenish {"reason":"low"}'])
  r.play(level(900))
  t.equal(r.state(), 'low', 'it has to reach the ready mark, not only the low mark')
  r.play(full, lowish)
  t.equal(r.commands.length, 2)
  t.same(r.emitted.filter((e) => e.endsWith('pool.low')), ['+pool.low', '-pool.low', '+pool.low'])
})

t.test('an exhausted pool resumes above its mark', async t => {
  const r = run(bench, hello, full, nothing, scant)
  t.equal(r.state(), 'exhausted')
  r.play(level(200))
  t.equal(r.state(), 'filling')
  t.same(r.emitted.filter((e) => e.endsWith('pool.exhausted')), ['+pool.exhausted', '-pool.exhausted'])
})

t.test('the forecast warns before the low mark and replenishes; twice the time ends it', async t => {
  const r = run(bench, hello, level(10_000))
  for (let i = 1; i <= 8; i++) r.play(level(10_000 - i * 100, 0, 1_200))
  t.equal(r.state(), 'ready')
  t.ok(r.emitted.includes('+pool.forecast'))
  t.same(r.commands, ['pool.replenish {"reason":"forecast"}'], 'asked once')
  for (let i = 0; i < 10; i++) r.play(level(9_500, 100, 100))
  t.equal(r.emitted.at(-1), '-pool.forecast')
})

t.test('manual replenishment and its failure are counted; a failure is an alert only where stock is short', async t => {
  const r = run(bench, hello, full, replenish, replenishFailed)
  t.same(r.commands, ['pool.replenish {"reason":"manual"}'])
  t.same(r.emitted.filter((e) => e.includes('replenish')), [])
  r.play(lowish, replenishFailed)
  t.equal(r.emitted.at(-1), '+pool.replenish')
  const { context } = r.actor.getSnapshot() as unknown as { context: PoolContext }
  t.equal(context.replenishFailures, 2)
  t.equal(context.replenishments, 2)
})

t.test('a clean stop says bye and waits for it, for its limit', async t => {
  const r = run(bench, hello, full, stop)
  t.same(r.commands, ['pool.close'])
  r.play(4_999)
  t.equal(r.state(), 'closing')
  r.play(1)
  t.equal(r.state(), 'stopped')
})

t.test('rates are means over time, whatever the distance of the measurements', async t => {
  let coarse = stillWater, fine = stillWater
  for (let i = 0; i < 10; i++) coarse = measure(coarse, 1_000, 2_000, 1_000, 5_000)
  for (let i = 0; i < 100; i++) fine = measure(fine, 100, 200, 100, 5_000)
  t.ok(Math.abs(coarse.supplyBitsPerS - fine.supplyBitsPerS) < 1e-6)
  t.ok(Math.abs(coarse.consumptionBitsPerS - 2 * coarse.supplyBitsPerS) < 1e-6)
  t.equal(measure(coarse, 5, 5, 0, 5_000), coarse, 'no time, no news')
  t.equal(timeToEmptyMs({ supplyBitsPerS: 10, consumptionBitsPerS: 30 }, 100), 5_000)
  t.equal(timeToEmptyMs({ supplyBitsPerS: 30, consumptionBitsPerS: 30 }, 100), Infinity)
})

t.test('a suspension outlives a restart', async t => {
  const r = run({ ...bench, input: { pool: 'p', limits, suspended: 'overlap' } }, hello, full)
  t.equal(r.state(), 'suspended')
  r.play(resume)
  t.equal(r.state(), 'ready')
})

t.test('a hold and a suspension: each ends by itself, and neither serves while the other lasts', async t => {
  t.equal(run(bench, hello, full, held, suspend, resume).state(), 'held')
  t.equal(run(bench, hello, full, held, suspend, resume, released).state(), 'ready')
  t.equal(run(bench, hello, full, held, suspend, released, resume).state(), 'ready')
  t.equal(run(bench, hello, full, suspend, held, resume).state(), 'held')
  t.equal(run(bench, held, hello, released).state(), 'exhausted', 'a hello while held is not lost')
  t.equal(run(bench, hello, full, held, voided, released).state(), 'waitingForHello')
  const after = run({ ...bench, input: { pool: 'p', limits, held: 'audit' } })
  t.same([after.state(), after.emitted.at(-1)], ['held', '+pool.held'], 'it outlives a restart')
})
