import t from 'tap'
import { Choice, type RoutePolicy } from '../../src/routing/choice.js'
import { classOf, type AnnouncedLink } from '../../src/routing/announcement.js'
import { hopCost } from '../../src/routing/cost.js'
import { Graph } from '../../src/routing/graph.js'
import type { PathAnswer } from '../../src/routing/ports.js'

/** Links as text: 'ab' both ways with plenty, 'ab:1000' with a stock of 1000 bytes on both sides. */
const build = (links: readonly string[], dumb: readonly string[] = []): { graph: Graph, set: (kme: string, links: readonly string[]) => void } => {
  const graph = new Graph()
  const announced = (kme: string, all: readonly string[]): AnnouncedLink[] => all.filter((l) => l.slice(0, 2).includes(kme)).map((l) => {
    const [ends, stock] = l.split(':')
    return { neighbour: ends!.replace(kme, ''), state: 'up', stockClass: classOf(Number(stock ?? 2 ** 26)), rateClass: 0 }
  })
  const set = (kme: string, all: readonly string[]): void => { graph.set(kme, { transit: !dumb.includes(kme), links: announced(kme, all) }) }
  for (const kme of new Set(links.flatMap((l) => [l[0]!, l[1]!]))) set(kme, links)
  return { graph, set }
}
const policy = (extra: Partial<RoutePolicy> = {}): RoutePolicy => ({ forbidden: [], routes: [], stickiness: 0.3, ...extra })
const words = (answer: PathAnswer): string => answer.ok ? answer.paths.map((p) => p.nodes.join('')).join(' ') : `${answer.reason} ${answer.available}`

t.test('a hop counts only if both ends announce it and it can carry something', async (t) => {
  const { graph, set } = build(['ab', 'bc'])
  const choice = new Choice('a', graph, policy())
  t.equal(words(choice.paths('c')), 'abc')
  set('c', [])
  t.equal(words(choice.paths('c')), 'unreachable 0')
  set('c', ['bc'])
  t.equal(words(choice.paths('c')), 'abc')
  graph.set('b', { transit: true, links: [{ neighbour: 'a', state: 'up', stockClass: 9, rateClass: 0 }, { neighbour: 'c', state: 'up', stockClass: 0, rateClass: 0 }] })
  t.equal(words(choice.paths('c')), 'unreachable 0', 'neither stock nor rate')
  graph.set('b', undefined)
  t.equal(words(choice.paths('b')), 'unknown 0')
  t.equal(words(choice.paths('a')), 'self 0')
})

t.test('supply decides against a short way that is poor, and a degraded link costs double', async (t) => {
  const rich: AnnouncedLink = { neighbour: 'b', state: 'up', stockClass: 21, rateClass: 0 }
  t.equal(hopCost(rich), 128)
  t.equal(hopCost({ ...rich, state: 'degraded' }), 256)
  t.equal(hopCost({ ...rich, state: 'down' }), Infinity)
  t.equal(hopCost({ ...rich, stockClass: 0, rateClass: 15 }), 64 + Math.round(64 * 2 ** 20 / (60 * 2 ** 14)), 'a minute of the rate')
  t.equal(hopCost({ ...rich, stockClass: 1 }), 64 + 4_096)
  const { graph } = build(['ac:20000', 'ab', 'bc'])
  t.equal(words(new Choice('a', graph, policy()).paths('c')), 'abc')
})

t.test('a way in use stays until another is much cheaper, or it breaks', async (t) => {
  const { graph, set } = build(['ab', 'bd', 'ac:1500000', 'cd:1500000'])
  const choice = new Choice('a', graph, policy())
  t.equal(words(choice.paths('d')), 'abd')
  for (const kme of 'abcd') set(kme, ['ab:1500000', 'bd:1500000', 'ac', 'cd'])
  t.equal(words(choice.paths('d')), 'acd', 'twice as dear: it moves')
  for (const kme of 'abcd') set(kme, ['ab', 'bd', 'ac:9000000', 'cd:9000000'])
  t.equal(words(choice.paths('d')), 'acd', 'a little dearer: it stays')
  t.equal(words(new Choice('a', graph, policy()).paths('d')), 'abd', 'who begins now goes the other way')
  const linksOfC = [...graph.linksOf(graph.indexOf('c')!).values()]
  graph.set('c', { transit: false, links: linksOfC })
  t.equal(words(choice.paths('d')), 'abd', 'c relays nothing any more')
})

t.test('forbidden and excluded nodes, excluded hops, nodes that relay nothing, nodes to avoid', async (t) => {
  const all = ['ab', 'bd', 'ac:100000', 'cd:100000']
  const { graph } = build(all)
  t.equal(words(new Choice('a', graph, policy({ forbidden: ['b'] })).paths('d')), 'acd')
  const choice = new Choice('a', graph, policy())
  t.equal(words(choice.paths('d', { excludeNodes: ['b'] })), 'acd')
  t.equal(words(choice.paths('d', { excludeHops: [{ from: 'd', to: 'b' }] })), 'acd')
  t.equal(words(choice.paths('d', { avoid: ['b'] })), 'acd')
  t.equal(words(choice.paths('d', { avoid: ['b'], excludeNodes: ['c'] })), 'abd')
  t.equal(words(choice.paths('d', { excludeNodes: ['b', 'c'] })), 'forbidden 0')
  t.equal(words(choice.paths('b', { excludeNodes: ['b'] })), 'ab', 'an end is not passed')
  t.equal(words(new Choice('a', build(all, ['b', 'c']).graph, policy()).paths('d')), 'forbidden 0')
  t.equal(words(new Choice('a', build(all, ['a', 'd', 'c']).graph, policy()).paths('d')), 'abd', 'ends need not relay')
})

t.test('disjoint paths, exactly as many as asked for, or how many there are', async (t) => {
  const { graph } = build(['ab', 'bd', 'ac', 'cd', 'ad'])
  const choice = new Choice('a', graph, policy())
  t.equal(words(choice.paths('d', { disjoint: 3 })), 'ad abd acd')
  t.equal(words(choice.paths('d', { disjoint: 4 })), 'disjoint 3')
  t.equal(words(choice.paths('d', { disjoint: 2, hopsMax: 1 })), 'too-long 1')
})

t.test('configured ways come first; with `only` there is no other', async (t) => {
  const { graph, set } = build(['ab', 'bd', 'ac', 'cd', 'ad'])
  const soft = new Choice('a', graph, policy({ routes: [{ to: 'd', via: ['c'], only: false }] }))
  const hard = new Choice('a', graph, policy({ routes: [{ to: 'd', via: ['c'], only: true }, { to: 'd', via: ['b'], only: true }] }))
  t.equal(words(soft.paths('d')), 'acd')
  t.equal(words(soft.paths('d', { disjoint: 2 })), 'ad abd', 'one configured way is not two: computed')
  t.equal(words(hard.paths('d', { disjoint: 2 })), 'acd abd')
  t.equal(words(hard.paths('d', { disjoint: 3 })), 'static 2')
  set('c', [])
  t.equal(words(soft.paths('d')), 'ad')
  t.equal(words(hard.paths('d')), 'abd')
  t.equal(words(hard.paths('d', { excludeNodes: ['b'] })), 'static 0')
  t.equal(words(new Choice('a', graph, policy({ forbidden: ['b'], routes: [{ to: 'd', via: ['b'], only: true }] })).paths('d')), 'static 0')
})

t.test('an answer is remembered until something changes', async (t) => {
  const { graph, set } = build(['ab', 'bc'])
  const choice = new Choice('a', graph, policy())
  const first = choice.paths('c')
  t.equal(choice.paths('c'), first)
  const version = graph.version
  set('b', ['ab', 'bc'])
  t.equal(graph.version, version, 'the same again is no change')
  set('b', ['ab', 'bc', 'bz'])
  t.equal(graph.version, version, 'a link that only one end announces is no change')
  t.equal(choice.paths('c'), first)
})
