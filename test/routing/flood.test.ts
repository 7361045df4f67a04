import t from 'tap'
import { FloodWorld, randomNetwork } from '../../sim/flood/world.js'
import { SimRandom } from '../../sim/random.js'

const line4 = { nodes: ['a', 'b', 'c', 'd'], links: [['a', 'b'], ['b', 'c'], ['c', 'd']] as const }
const ring6 = { nodes: ['a', 'b', 'c', 'd', 'e', 'f'], links: [['a', 'b'], ['b', 'c'], ['c', 'd'], ['d', 'e'], ['e', 'f'], ['f', 'a']] as const }
const way = (world: FloodWorld, from: string, to: string): string => {
  const answer = world.at(from).paths(to)
  return answer.ok ? answer.paths.map((p) => p.nodes.join('')).join(' ') : answer.reason
}

t.test('a network that starts knows itself within a second, and everybody knows the same', async (t) => {
  const world = new FloodWorld({ seed: 1, ...line4 })
  world.connectAll()
  world.run(1_000)
  t.ok(world.agrees)
  t.equal(way(world, 'a', 'd'), 'abcd')
  t.equal(way(world, 'd', 'a'), 'dcba')
})

t.test('after a cut the other way is known everywhere within a second, and after the repair the first again', async (t) => {
  const world = new FloodWorld({ seed: 2, ...ring6 })
  world.connectAll()
  world.run(10_000)
  t.equal(way(world, 'a', 'c'), 'abc')
  world.cut('b', 'c')
  world.run(900)
  t.equal(way(world, 'a', 'c'), 'afedc')
  t.equal(way(world, 'd', 'b'), 'defab')
  world.heal('b', 'c')
  world.run(5_000)
  t.equal(way(world, 'b', 'c'), 'bc', 'the idle link came back by itself')
})

t.test('SAEs are located wherever they are announced, and in parts', async (t) => {
  const world = new FloodWorld({ seed: 3, ...line4 })
  world.connectAll()
  world.at('d').serve(Array.from({ length: 5_000 }, (_, i) => `urn:sae:of:d:number-${i}`))
  world.run(5_000)
  t.equal(world.at('a').locate('urn:sae:of:d:number-4711'), 'd')
  t.equal(world.at('a').saesOf('d').length, 5_000)
  let lost = 0
  world.at('a').subscribe(() => { if (world.at('a').locate('urn:sae:of:d:number-4711') !== 'd') lost++ })
  world.at('d').serve(Array.from({ length: 15_000 }, (_, i) => `urn:sae:of:d:number-${i}`))
  world.run(10_000)
  t.equal(world.at('a').saesOf('d').length, 15_000, 'a longer list in more parts')
  t.equal(lost, 0, 'and the former one held until all of them were there')
  world.at('d').serve(['sae-1'])
  world.run(5_000)
  t.equal(world.at('a').locate('urn:sae:of:d:number-4711'), undefined)
  t.equal(world.at('a').locate('sae-1'), 'd')
})

t.test('random networks agree under cuts, repairs, restarts and channels that are full or without pads', async (t) => {
  for (let seed = 10; seed < 14; seed++) {
    const random = new SimRandom(seed)
    const network = randomNetwork(random, 12, 3.5)
    const world = new FloodWorld({ seed, ...network })
    world.gate = () => random.chance(0.2) ? random.pick(['full', 'no-pad'] as const) : 'sent'
    world.connectAll()
    for (let step = 0; step < 30; step++) {
      const [a, b] = random.pick(network.links), act = random.integer(4)
      if (act === 0) world.cut(a, b)
      else if (act === 1) world.heal(a, b)
      else if (act === 2) world.boot(a)
      else world.at(a).serve([`sae-${random.integer(5)}`])
      world.run(random.integer(2_000))
    }
    world.gate = undefined
    world.connectAll()
    world.run(200_000)
    t.ok(world.agrees, `seed ${seed}`)
    for (const to of network.nodes) if (to !== 'kme-0') t.ok(world.at('kme-0').paths(to).ok, `seed ${seed}: a way to ${to}`)
  }
})
