import t from 'tap'
import { SimRandom } from '../../sim/random.js'
import { KmeError } from '../../src/kernel/errors.js'
import { messages, type MessageName } from '../../src/peer/messages.js'
import { joinParts } from '../../src/peer/parts.js'
import type { PeerHandler } from '../../src/peer/ports.js'
import { drawn, fits } from '../peer/shapes.js'
import { balanced, network, sameKeys } from './network.js'

t.setTimeout(60_000)

const ROUNDS = 40
const WORDS = ['A', 'B', 'C', 'a', 'b', 'c', 'nobody', 'expired', '']
/** The channel itself reads hellos; tunnels are the subject of test/peer/control-attacks, announcements of test/routing. */
const elsewhere: readonly string[] = ['hello', 'tunnel', 'tunnelFault', 'linkState']
const names = (Object.keys(messages) as MessageName[]).filter((name) => !elsewhere.includes(name))

t.test('a neighbour, and a far end, that say anything that fits the schemas: no bug, no bit lost, and others are served', async (t) => {
  const world = await network(t, { seed: 91, links: [['A', 'B'], ['B', 'C'], ['B', 'D']], relayed: [{ between: ['A', 'C'] }] })
  await world.run(10, 60)
  const random = new SimRandom(5), refusals = new Set<string>()
  let taken = 0, refused = 0
  const say = (handler: PeerHandler, name: MessageName, lastProcessed: number): void => {
    const body = drawn(messages[name].schema, random, WORDS) as Record<string, unknown>
    if ('first' in body && random.integer(4) > 0) Object.assign(body, { seq: lastProcessed + 1, first: false }) // Else it stays away from what the engine does.
    if (!fits(messages[name].schema, body)) return
    try {
      handler.onMessage(name, body)
      taken++
    } catch (error) {
      if (!(error instanceof KmeError && error.code === 'PROTOCOL')) throw new Error(`${name} ${JSON.stringify(body)}`, { cause: error })
      refused++
      refusals.add(error.message)
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    const b = world.at('B').running, a = world.at('A').running
    // B is on either side of a proposer: A proposes to it, it proposes to C. C, gone over, speaks to B, and from afar to A.
    const ends = ([['A', b], ['C', b]] as const).map(([from, process]) => ({ pool: process.pools.get(from)!, part: process.relay.part(from) }))
    for (const name of names) {
      for (const { pool, part } of ends) say(joinParts(pool, [part]), name, pool.core.meta.lastProcessed)
      say(a.far.handler('C'), name, a.relayed.get('C')?.core.meta.lastProcessed ?? 0)
    }
    world.frames(4)
    await world.wait(500)
    t.same([...world.kmes.values()].flatMap((kme) => kme.bugs), [], `round ${round}`)
  }
  t.ok(taken > 500 && refused > 100 && refusals.size > 20, `${taken} taken, ${refused} refused for ${refusals.size} reasons`)
  balanced(t, world)
  for (const [from, to] of [['B', 'D'], ['D', 'B']] as const) sameKeys(t, await world.exchange(from, to), `${from} to ${to}, who said nothing wrong`)
})
