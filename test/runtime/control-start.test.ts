import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { AlertEdge } from '../../machines/part.js'
import { loadConfig } from '../../src/config/load.js'
import type { NativeVault } from '../../src/device/native.js'
import { quietLog } from '../../src/kernel/log.js'
import { defaultPeerLimits } from '../../src/peer/limits.js'
import { createPeerManager, type PeerManager } from '../../src/peer/manager.js'
import { joinParts } from '../../src/peer/parts.js'
import { keepConnected } from '../../src/peer/redial.js'
import { Choice } from '../../src/routing/choice.js'
import { Graph } from '../../src/routing/graph.js'
import type { RoutingChange } from '../../src/routing/ports.js'
import { ControlPath } from '../../src/runtime/control-start.js'
import { SimClock } from '../../sim/clock.js'
import { createSimEndToEnd } from '../../sim/control-layer.js'
import { SimNetwork } from '../../sim/network.js'
import { SimRandom } from '../../sim/random.js'
import { shortFolder } from '../config/examples.js'
import { EndlessPads } from '../peer/control-nodes.js'
import { Desk } from '../peer/desk.js'
import { ReferenceVault } from '../peer/reference-tag.js'

const configOf = (t: Test, self: string, others: readonly string[], relayed: readonly string[]) => {
  const file = join(shortFolder(t), 'kme.yaml')
  writeFileSync(file, `kme: { id: ${self} }
rest: { tls: { certificate: c, key: k, ca: a, crlRequired: false } }
peering: { listen: true, tls: { certificate: c, key: k, ca: a, crlRequired: false } }
store: { masterKey: { file: m } }
peers: [${others.map((kme) => `{ kme: ${kme}, url: "wss://${kme}:1" }`).join(', ')}]
network: { relay: { pools: [${relayed.map((kme) => `{ kme: ${kme} }`).join(', ')}] } }
`)
  return loadConfig({ file, variables: {}, workingFolder: '/', checkFiles: false })
}

/** Tags of neighbours are not the subject: every pad block is the same. */
const vaultOf = (): ReferenceVault => {
  const vault = new ReferenceVault()
  vault.addBlock(new Uint8Array(1 << 20))
  return vault
}

interface Running { readonly control: ControlPath, readonly alerts: AlertEdge[], readonly desk: Desk, readonly neighbours: PeerManager, kill (): void }

/** kme-a - kme-b - kme-d and kme-a - kme-c - kme-d; a and d share a relayed pool. */
const start = async (t: Test) => {
  const clock = new SimClock(), random = new SimRandom(5), graph = new Graph()
  const network = new SimNetwork({ clock, random })
  const edges = new Set(['ab', 'bd', 'ac', 'cd']), all = ['a', 'b', 'c', 'd'].map((name) => `kme-${name}`)
  const listeners = new Set<(change: RoutingChange) => void>()
  const linksOf = (kme: string): string[] => all.filter((other) => edges.has(kme.slice(-1) + other.slice(-1)) || edges.has(other.slice(-1) + kme.slice(-1)))
  const announce = (): void => {
    for (const kme of all) graph.set(kme, { transit: true, links: linksOf(kme).map((neighbour) => ({ neighbour, state: 'up', stockClass: 20, rateClass: 10 })) })
    for (const on of listeners) on({ topology: true, saes: [] })
  }
  const nodes = new Map<string, Running>()
  announce()
  for (const self of all) {
    const others = linksOf(self), far = self === 'kme-a' ? ['kme-d'] : self === 'kme-d' ? ['kme-a'] : []
    const choice = new Choice(self, graph, { forbidden: [], routes: [], stickiness: 0.3 }), alerts: AlertEdge[] = [], desk = new Desk(self, new EndlessPads())
    const control = new ControlPath({
      config: configOf(t, self, others, far), trust: { check: () => { throw new Error('not asked') } }, vault: vaultOf() as unknown as NativeVault, clock, random, log: quietLog,
      alert: (edge) => { alerts.push(edge) }, handlerFor: () => desk, mayCall: () => false, endToEnd: createSimEndToEnd(self, 'secret', clock),
      router: { graph, paths: (to, query) => choice.paths(to, query), subscribe: (on) => { listeners.add(on); return () => { listeners.delete(on) } } },
    })
    const handlers = new Map(others.map((other) => [other, joinParts(new Desk(self, new EndlessPads()), [control.part(other)])]))
    const shared = { self, clock, random, limits: { ...defaultPeerLimits, backoffMaxMs: 500 } }
    const neighbours = createPeerManager({ ...shared, vault: vaultOf(), log: quietLog, peers: others.map((id) => ({ id, url: `sim://${id}` })), handlerFor: (kme) => handlers.get(kme), ...network.node(self) })
    await neighbours.start()
    await control.start()
    for (const kme of far) control.open(kme)
    const stops = others.map((remote) => keepConnected({ ...shared, remote, hasUrl: true, manager: neighbours, onWait: () => {} }))
    nodes.set(self, { control, alerts, desk, neighbours, kill: () => { network.kill(self); for (const stop of stops) stop(); neighbours.stop(); control.close() } })
  }
  const at = (name: string): Running => nodes.get(`kme-${name}`)!
  return { clock, network, edges, announce, listeners, at }
}

const stateOf = (node: Running): string => node.control.states().find(({ id }) => id.startsWith('control/'))?.state ?? ''

t.test('the relayed pools of the configuration get their channels, each under its own machine', async (t) => {
  const { clock, at, listeners } = await start(t)
  t.same([...at('a').control.peers.remotes, ...at('b').control.peers.remotes], ['kme-d'])
  clock.advance(10_000)
  t.same([stateOf(at('a')), stateOf(at('d')), stateOf(at('b'))], ['ready', 'ready', ''])
  t.same(at('a').control.states().map(({ id }) => id), ['control/kme-d'])
  t.equal(at('a').desk.channel?.remote, 'kme-d')
  at('a').control.close()
  clock.advance(100)
  t.not(stateOf(at('d')), 'ready')
  t.equal(at('a').control.hub.sessions, 0)
  t.equal(listeners.size, 3, 'nothing of it listens any more')
})

t.test('a link of the way goes down: the announcement is enough, and it is back within a second', async (t) => {
  const { clock, network, edges, announce, at } = await start(t)
  clock.advance(10_000)
  const used = (['b', 'c'] as const).find((name) => at(name).control.hub.counters.forwarded > 0)!
  const other = used === 'b' ? 'c' : 'b'
  network.partition(`kme-${used}`, 'kme-d')
  edges.delete(`${used}d`)
  announce()
  clock.advance(1_000)
  t.equal(stateOf(at('a')), 'ready')
  t.ok(at(other).control.hub.counters.forwarded > 0)
})

t.test('a far end that is away is an alert of its own kind', async (t) => {
  const { clock, at } = await start(t)
  at('d').kill()
  clock.advance(20_000)
  t.ok(at('a').alerts.some((edge) => edge.alert === 'control.down' && edge.subject === 'kme-d' && edge.active))
  t.notOk(at('a').alerts.some((edge) => edge.alert.startsWith('peer.')))
})
