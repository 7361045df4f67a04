import t from 'tap'
import type { TopologyView } from '../../src/admin/port.js'
import { asDot, asMermaid, asText } from '../../src/cli/commands/topology.js'
import { eventually } from './process.js'
import { startWorld } from './world.js'

t.setTimeout(120_000)

t.test('two KMEs know each other, their link, stock and SAEs from signed announcements; a KME that dies is seen at once, and so is an SAE that comes by itself', async (t) => {
  const world = await startWorld(t, { unregistered: 'register' })
  const ask = async (site: 'a' | 'b'): Promise<TopologyView | undefined> => await world.kmes[site].admin.get('/v1/topology').catch(() => undefined) as TopologyView | undefined
  const when = (what: string, site: 'a' | 'b', fits: (view: TopologyView) => boolean) => eventually(what, async () => {
    const view = await ask(site)
    return view !== undefined && fits(view) ? view : undefined
  }, 60_000, () => world.kmes[site].tail())
  const isWhole = (view: TopologyView): boolean => view.links[0]?.state === 'up' && (view.links[0].ab?.stockBytes ?? 0) > 0 && (view.links[0].ba?.stockBytes ?? 0) > 0 && view.nodes.every((n) => n.saes === 2) && view.nodes.length === 2 && view.routes[0]?.problem === null
  for (const site of ['a', 'b'] as const) {
    const view = await when('the whole network', site, isWhole)
    t.match(view, { links: [{ a: 'kme-a', b: 'kme-b', state: 'up' }], routes: [{ nodes: site === 'a' ? ['kme-a', 'kme-b'] : ['kme-b', 'kme-a'], problem: null, disjointPaths: 1 }] })
    t.match(asText(view), /KME +SAES +RELAYS +HYBRID +LAST SAID +START +RECORD\nkme-a.* +2 +yes +(yes|no) +\d+ s ago +1 +\d+\n/)
    t.match(asText(view), /kme-a - kme-b/)
    t.match(asDot(view), /"kme-a" -- "kme-b"/)
    t.match(asMermaid(view), /n0 ===/)
  }
  await world.kmes.b.stop('SIGKILL')
  await when('the link is down', 'a', (view) => view.links[0]?.state === 'down' && view.routes[0]?.problem !== null)
  world.kmes.b.start()
  await when('the link is back, as of a new start', 'a', (view) => isWhole(view) && view.nodes.some((n) => n.kme === 'kme-b' && n.announced?.incarnation === 2))

  await world.issue({ profile: 'sae', id: 'sae-new' })
  const newcomer = world.sae('sae-new', 'a')
  t.equal((await newcomer.status('sae-a-1')).status, 200, 'registered at its first request')
  t.equal((await world.sae('sae-b-1', 'a').status('sae-a-1')).status, 401, 'but not an SAE of the other KME')
  await when('the other KME knows of it', 'b', (view) => view.nodes.some((n) => n.kme === 'kme-a' && n.saes === 3))
  await world.kmes.a.stop('SIGKILL')
  world.kmes.a.start()
  await eventually('it is known after a crash', async () => (await newcomer.status('sae-a-1').catch(() => undefined))?.status === 200 ? true : undefined)
})
