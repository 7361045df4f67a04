import t from 'tap'
import { SimDisk } from '../../sim/store.js'
import { INCIDENTS_MAX, INCIDENTS_OF_OTHER_MAX, listIncidents, putIncident, type IncidentPool, type IncidentRow } from '../../src/store/incidents.js'

const pool = (name: string, told = 0): IncidentPool => ({ pool: name, keys: 1, fetched: 0, associations: 0, stretches: 0, told, asked: false })
const row = (origin: string, at: number, pools: readonly IncidentPool[] = []): IncidentRow =>
  ({ id: `${origin}-${at}`, atMs: at, kind: 'void', origin, what: '', reason: '', pools })

t.test('nobody pushes out what others did by many acts of its own', async t => {
  const kv = new SimDisk().open(), put = (incident: IncidentRow) => kv.transact((tx) => putIncident(tx, incident, 'self'))
  const countOf = (origin: string): number => listIncidents(kv).filter((r) => r.origin === origin).length
  for (let at = 0; at < 20; at++) put(row('self', at))
  put(row('modest', 20))
  for (let at = 100; at < 100 + 2 * INCIDENTS_OF_OTHER_MAX; at++) put(row('flooder', at))
  t.same([countOf('self'), countOf('modest'), countOf('flooder')], [20, 1, INCIDENTS_OF_OTHER_MAX])
  t.equal(listIncidents(kv)[0]!.atMs, 99 + 2 * INCIDENTS_OF_OTHER_MAX, 'its newest are there')
})

t.test('at the bound those of others go while they have more than half of it, then our own', async t => {
  const kv = new SimDisk().open()
  const rows = (origin: string, from: number, count: number): void => {
    kv.transact((tx) => { for (let i = 0; i < count; i++) tx.put(['incident', from + i, `${origin}-${from + i}`], Buffer.from(JSON.stringify(row(origin, from + i)))) })
  }
  rows('self', 0, 400)
  for (let k = 0; k < 6; k++) rows(`other${k}`, 1_000 * (k + 1), 100)
  t.equal(listIncidents(kv).length, INCIDENTS_MAX)
  kv.transact((tx) => putIncident(tx, row('self', 9_000), 'self'))
  const left = listIncidents(kv)
  t.same([left.length, left.filter((r) => r.origin === 'self').length, left.some((r) => r.id === 'other0-1000')], [INCIDENTS_MAX, 401, false])
})

t.test('more under the same ID does not make it forget what it waits for', async t => {
  const kv = new SimDisk().open(), put = (incident: IncidentRow) => kv.transact((tx) => putIncident(tx, incident, 'self'))
  put(row('self', 1, [pool('kme-b', 7), pool('kme-c', 9)]))
  for (let i = 0; i < 300; i++) put(row('self', 1, [pool('kme-b')]))
  t.same(listIncidents(kv)[0]!.pools, [{ ...pool('kme-b', 7), keys: 301 }, pool('kme-c', 9)])
})
