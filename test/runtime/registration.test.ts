import t from 'tap'
import { settle, SimClock } from '../../sim/clock.js'
import { SimDisk } from '../../sim/store.js'
import { quietLog, type Log } from '../../src/kernel/log.js'
import { Registration, REQUESTS_MAX, type RegistrationDeps } from '../../src/runtime/registration.js'
import type { Kv } from '../../src/store/kv.js'
import { changeSae, listSaes } from '../../src/store/saes.js'

const world = (policy: RegistrationDeps['policy'], disk = new SimDisk()) => {
  const kv = disk.open(), registered: string[] = [], events: string[] = [], alerts: boolean[] = [], warnings: string[] = []
  const log: Log = { ...quietLog, security: (e) => { events.push(`${e.event} ${e.subject}`) }, warn: (message) => { warnings.push(message) } }
  const registration = new Registration({ policy, clock: new SimClock(), log, kv: () => kv, alert: (edge) => { alerts.push(edge.active) }, elsewhere: (id) => id === 'of-b' ? 'kme-b' : undefined, register: async (id) => { registered.push(id) } })
  registration.start()
  return { registration, kv, disk, registered, events, alerts, warnings }
}

/** What was asked is on disk, and told. */
const noted = async (kv: Kv): Promise<void> => { await kv.flushed(); await settle() }

t.test('refuse and register: nothing is noted', async t => {
  const refuse = world('refuse'), register = world('register')
  t.notOk(refuse.registration.asked('a', 'CN=ca'))
  t.ok(register.registration.asked('a', 'CN=ca'))
  await settle()
  t.same([refuse.registered, register.registered, listSaes(refuse.kv), listSaes(register.kv)], [[], ['a'], [], []])
  t.same([refuse.events, register.events], [[], ['sae.registered a']])
})

t.test('request: refused and noted once, over restarts, until an operator decides', async t => {
  const first = world('request')
  t.same([first.registration.asked('a', 'CN=ca'), first.registration.asked('a', 'CN=ca'), first.registration.asked('b', 'CN=ca')], [false, false, false])
  await noted(first.kv)
  t.match(listSaes(first.kv), [{ id: 'a', status: 'requested', note: 'certificate of CN=ca' }, { id: 'b', status: 'requested' }])
  t.same([first.events, first.registered, first.alerts.at(-1)], [['sae.requested a', 'sae.requested b'], [], true])
  await first.kv.close()
  const again = world('request', first.disk)
  t.ok(again.alerts.at(-1), 'still waits')
  again.registration.asked('a', 'CN=ca')
  t.same(again.events, [], 'no news')
  await changeSae(again.kv, 'a', { status: 'active' })
  again.registration.settled('a')
  t.ok(again.alerts.at(-1))
  again.registration.settled('b')
  t.notOk(again.alerts.at(-1), 'nobody waits')
})

t.test('requests are bounded, and there is room again when one is decided', async t => {
  const { registration, kv, warnings } = world('request')
  for (let i = 0; i < REQUESTS_MAX + 5; i++) registration.asked(`sae-${i}`, 'CN=ca')
  await noted(kv)
  t.same([listSaes(kv).length, warnings.length], [REQUESTS_MAX, 1], 'and it is said once')
  registration.settled('sae-0')
  registration.asked('late', 'CN=ca')
  await noted(kv)
  t.equal(listSaes(kv).length, REQUESTS_MAX + 1)
})

t.test('an SAE of another KME is refused, and neither registered nor noted', async t => {
  for (const policy of ['register', 'request'] as const) {
    const { registration, registered, events, kv } = world(policy)
    t.notOk(registration.asked('of-b', 'CN=ca'))
    await noted(kv)
    t.same([registered, events, listSaes(kv)], [[], [], []])
  }
})

t.test('what the store refuses is not told as a request, and is tried again', async t => {
  const { registration, warnings, kv, alerts, events } = world('request'), why = 'the request of an SAE could not be noted'
  for (let i = 1; i <= 2; i++) {
    registration.asked('not an ID', 'CN=ca')
    await settle()
    t.same([warnings, events, listSaes(kv), alerts], [Array.from({ length: i }, () => why), [], [], [false]])
  }
})
