import t from 'tap'
import { sessionMachine } from '../../machines/session.js'
import { checkTable, run, type Bench } from './table.js'

const bench: Bench = { machine: sessionMachine, input: { sae: 'a' } }
const request = { type: 'session.request' }
const throttle = { type: 'session.throttle', retryAfterMs: 2_000 }
const violation = { type: 'session.violation', what: 'key of another SAE' }
const revoke = { type: 'session.revoke', reason: 'revoked' }
const reinstate = { type: 'session.reinstate' }
const suspend = { type: 'session.suspend', by: 'op' }
const resume = { type: 'session.resume' }

t.test('session: every state with every event', async t => {
  checkTable(t, {
    ...bench,
    columns: { request, throttle, violation, revoke, reinstate, suspend, resume, wait2s: 2_000, wait5min: 300_000 },
    paths: { known: [], active: [request], throttled: [throttle], suspended: [suspend], revoked: [revoke] },
    rows: {
      //          request throttle  violation revoke  reinstate suspend   resume 2s     5min
      known:     'active  throttled .         revoked .         suspended .      .      .',
      active:    '.       throttled .         revoked .         suspended .      .      known',
      throttled: '.       .         .         revoked .         suspended .      active active',
      suspended: '.       .         .         revoked .         .         known  .      .',
      revoked:   '.       .         .         .       known     .         .      .      .',
    },
  })
})

t.test('a suspension survives a revocation and its end, and the other way round', async t => {
  t.equal(run(bench, suspend, revoke, reinstate).state(), 'suspended')
  t.equal(run(bench, revoke, suspend, resume).state(), 'revoked')
  t.equal(run(bench, revoke, suspend, reinstate).state(), 'suspended')
  t.equal(run(bench, suspend, revoke, resume, reinstate).state(), 'known')
})

t.test('throttling lasts as long as the last refusal said', async t => {
  const r = run(bench, throttle, 1_000, throttle, 1_999)
  t.equal(r.state(), 'throttled')
  r.play(1)
  t.equal(r.state(), 'active')
})

t.test('violations become an alert at their number and end with a quiet time', async t => {
  const r = run({ ...bench, input: { sae: 'a', limits: { idleMs: 1_000, violationsMax: 3 } } }, request, violation, violation)
  t.notOk(r.emitted.includes('+sae.violations'))
  r.play(violation)
  t.equal(r.emitted.at(-1), '+sae.violations')
  r.play(1_000)
  t.equal(r.emitted.at(-1), '-sae.violations')
})
