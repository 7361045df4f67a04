import t from 'tap'
import { createActor } from 'xstate'
import { peerMachine } from '../../machines/peer.js'
import { createPeerActor } from '../../src/peer/peer-actor.js'
import { makeWorld, type Node, type World } from './nodes.js'

const A = 'kme-a', B = 'kme-b'

const startMachine = (world: World, node: Node, peer: string, dials: boolean) =>
  createActor(peerMachine.provide({ actors: { channel: createPeerActor(node.manager) } }), { clock: world.clock, input: { peer, dials } }).start()

const stateOf = (actor: ReturnType<typeof startMachine>): string => JSON.stringify(actor.getSnapshot().value)

t.test('the peer machine drives the manager: connects, comes back after a cut, and stops', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B, { dials: false }), b = await world.start(B, A, { dials: false })
  const ofA = startMachine(world, a, B, true), ofB = startMachine(world, b, A, false)
  world.clock.advance(1_000)
  t.match(stateOf(ofA), /ready/)
  t.match(stateOf(ofB), /ready/, 'the side that was called is told too')
  world.network.partition(A, B)
  world.clock.advance(40_000)
  t.notMatch(stateOf(ofA), /ready/)
  t.equal(b.desk.closed.length, 1)
  world.network.join(A, B)
  world.clock.advance(60_000)
  t.match(stateOf(ofA) + stateOf(ofB), /ready.*ready/)
  ofA.stop()
  world.clock.advance(100)
  t.equal(a.manager.status(B).state, 'disconnected')
  t.notMatch(stateOf(ofB), /ready/)
})

t.test('a refused peer is retried at the longest wait only', async (t) => {
  const world = makeWorld()
  const a = await world.start(A, B, { dials: false })
  await world.start(B, A, { dials: false, refuses: () => true })
  startMachine(world, a, B, true)
  world.clock.advance(100_000)
  const dials = a.events.filter((event) => event === 'connecting').length
  t.ok(dials >= 3 && dials <= 5, `${dials} attempts in 100 s`)
})
