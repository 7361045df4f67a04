import t from 'tap'
import { balanced, network, sameKeys } from './network.js'
import type { Body } from '../../src/peer/messages.js'
import { sumOf } from '../../src/pool/pad-places.js'

t.setTimeout(300_000)
const line = [['A', 'B'], ['B', 'C']] as const

/** A neighbour that sends what no honest one does. What it says is told to the far end as it stands. */
const changed = (change: (body: Body<'relay'>) => void) => (name: string, body: unknown): unknown => {
  if (name !== 'relay') return body
  const copy = { ...(body as Body<'relay'>), pads: (body as Body<'relay'>).pads.map((pad) => ({ ...pad })), frames: [...(body as Body<'relay'>).frames], path: [...(body as Body<'relay'>).path] }
  change(copy)
  return copy
}

let before: Body<'relay'>['pads'] | undefined
/** As many pads, of the message before. */
const again = (b: Body<'relay'>): void => {
  const own = b.pads
  if (before !== undefined && sumOf(before) === sumOf(own)) b.pads = before
  before = own
}

for (const [what, change, message] of [
  ['pads of the job before', again, /are spent already/],
  ['pads that were spent before', (b: Body<'relay'>) => { b.pads[0] = { ...b.pads[0]!, offset: 0 } }, /spent already|not below the horizon|not in the sender's lane|has no bytes|named twice/],
  ['pads of a block that is not there', (b: Body<'relay'>) => { b.pads[0] = { ...b.pads[0]!, block: 4_000_000 } }, /is not in the sender's lane/],
  ['fewer pads than data', (b: Body<'relay'>) => { b.pads[0] = { ...b.pads[0]!, length: b.pads[0]!.length - 8 } }, /differ in length/],
  ['a path that does not lead here', (b: Body<'relay'>) => { b.path = ['A', 'C', 'B'] }, /does not lead from the sender/],
  ['a block of nothing', (b: Body<'relay'>) => { b.frames = [8]; b.pads = [{ ...b.pads[0]!, length: 8 }]; b.data = b.data.slice(0, 8) }, /holds nothing but its confirmation/],
  ['a share beyond their number', (b: Body<'relay'>) => { b.share = 3 }, /a share beyond/],
] as const) {
  t.test(`the last node refuses ${what}, and nothing of it becomes key`, async t => {
    const world = await network(t, { seed: 31, links: line, relayed: [{ between: ['A', 'C'] }] })
    let spent = 0
    world.at('B').evil = changed((body) => { if (spent++ > 0 || what !== 'pads that were spent before') change(body) })
    await world.run(10, 60)
    const said = [...world.at('C').alarms, ...world.at('A').alarms]
    t.ok(said.some((text) => message.test(text)), `${what}: ${said.at(-1) ?? 'nothing was said'}`)
    world.at('B').evil = undefined
    await world.run(40, 30)
    sameKeys(t, await world.exchange('A', 'C'), 'after an honest start')
    balanced(t, world)
  })
}
