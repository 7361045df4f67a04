import t from 'tap'
import { SessionRegistry } from '../../src/runtime/sessions.js'
import { SimClock } from '../../sim/clock.js'

const world = () => {
  const clock = new SimClock()
  const told: string[] = []
  const registry = new SessionRegistry({
    clock, limits: { idleMs: 1_000, violationsMax: 2 },
    alert: (e) => { told.push(`${e.active ? '+' : '-'}${e.alert}`) }, security: (e) => { told.push(e.event) },
  })
  const add = (id: string, suspended = false): void => { registry.register({ id, issuer: 'CN=ca', suspended }) }
  return { clock, told, registry, add }
}

t.test('only a registered SAE under its own CA is answered', async t => {
  const { registry, add } = world()
  add('a')
  t.equal(registry.state('a', 'CN=ca'), 'active')
  t.equal(registry.state('a', 'CN=other'), 'unregistered')
  t.equal(registry.state('b', 'CN=ca'), 'unregistered')
  registry.remove('a')
  t.equal(registry.state('a', 'CN=ca'), 'unregistered')
})

t.test('10,000 registered SAEs run no machine; those at work do, until they are quiet', async t => {
  const { registry, add, clock } = world()
  for (let i = 0; i < 10_000; i++) add(`sae-${i}`)
  t.equal(registry.running, 0)
  for (let i = 0; i < 10; i++) registry.state(`sae-${i}`, 'CN=ca')
  t.equal(registry.running, 10)
  t.equal(registry.stateName('sae-3'), 'active')
  clock.advance(900)
  registry.state('sae-3', 'CN=ca')
  clock.advance(100)
  t.equal(registry.running, 1, 'the one that asked meanwhile stays')
  t.equal(registry.stateName('sae-3'), 'active')
  clock.advance(1_000)
  t.equal(registry.running, 0)
  t.equal(clock.pending, 0)
  t.equal(registry.stateName('sae-3'), 'known')
})

t.test('what was decided holds whether or not a machine runs', async t => {
  const { registry, add, clock, told } = world()
  add('a')
  add('s', true)
  t.equal(registry.state('s', 'CN=ca'), 'suspended')
  registry.tell('a', { type: 'session.suspend', by: 'op' })
  clock.advance(100_000)
  t.equal(registry.state('a', 'CN=ca'), 'suspended')
  registry.tell('a', { type: 'session.resume' })
  t.equal(registry.state('a', 'CN=ca'), 'active')
  registry.tell('s', { type: 'session.resume' })
  t.equal(registry.state('s', 'CN=ca'), 'active')
  registry.tell('a', { type: 'session.revoke', reason: 'CRL' })
  clock.advance(100_000)
  t.equal(registry.state('a', 'CN=ca'), 'revoked')
  t.same(told.filter((e) => e.startsWith('sae.')), ['sae.suspended', 'sae.revoked'], 'the old suspension of s is no news')
})

t.test('throttling and violations reach the machine from rest', async t => {
  const { registry, add, clock, told } = world()
  add('a')
  registry.tell('a', { type: 'session.throttle', retryAfterMs: 500 })
  t.equal(registry.state('a', 'CN=ca'), 'throttled')
  clock.advance(500)
  t.equal(registry.state('a', 'CN=ca'), 'active')
  registry.tell('a', { type: 'session.violation', what: 'x' })
  registry.tell('a', { type: 'session.violation', what: 'x' })
  t.ok(told.includes('+sae.violations'))
  clock.advance(3_000)
  t.equal(told.at(-1), '-sae.violations')
  t.equal(registry.running, 0)
})

t.test('a change in the registry is taken over', async t => {
  const { registry, add } = world()
  add('a')
  add('a', true)
  t.equal(registry.state('a', 'CN=ca'), 'suspended')
  add('a', false)
  t.equal(registry.state('a', 'CN=ca'), 'active')
  registry.stop()
  t.equal(registry.running, 0)
})

t.test('a suspended SAE stays so when its machine is started by something else', async t => {
  const { registry, add } = world()
  for (const id of ['v', 'r']) add(id, true)
  registry.tell('v', { type: 'session.violation', what: 'x' })
  t.equal(registry.state('v', 'CN=ca'), 'suspended')
  registry.tell('r', { type: 'session.revoke', reason: 'CRL' })
  registry.tell('r', { type: 'session.reinstate' })
  t.equal(registry.state('r', 'CN=ca'), 'suspended')
})
