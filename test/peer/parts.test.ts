import t from 'tap'
import type { PeerPart } from '../../src/peer/parts.js'
import { joinParts } from '../../src/peer/parts.js'
import type { PeerChannel } from '../../src/peer/ports.js'
import { Desk } from './desk.js'
import { EndlessPads } from './control-nodes.js'

const channel: PeerChannel = { remote: 'kme-b', send: () => 'sent', close: () => {} }

const makeJoined = (order: string[]) => {
  const part = (name: string, names: PeerPart['names']): PeerPart => ({
    names, onReady: () => { order.push(`${name} ready`) }, onClosed: (reason) => { order.push(`${name} closed ${reason}`) },
    onMessage: (message) => { order.push(`${name} ${message}`) }, onWritable: () => { order.push(`${name} writable`) },
  })
  const desk = new Desk('kme-a', new EndlessPads())
  return { desk, handler: joinParts(desk, [part('one', ['tunnel']), part('two', ['hybridOffer', 'hybridAnswer'])]) }
}

t.test('each message goes to the part that names it, everything else to the pool; all hear of the channel, the pool first', async (t) => {
  const order: string[] = []
  const { desk, handler } = makeJoined(order)
  handler.onHello({})
  handler.onReady(channel)
  t.ok(desk.channel)
  for (const name of ['tunnel', 'hybridAnswer', 'horizon'] as const) handler.onMessage(name, {})
  handler.onWritable?.()
  handler.onClosed('idle')
  t.same(order, ['one ready', 'two ready', 'one tunnel', 'two hybridAnswer', 'one writable', 'two writable', 'one closed idle', 'two closed idle'])
  t.same([desk.got.map((m) => m.name), desk.closed, desk.writable, desk.hellos.length], [['horizon'], ['idle'], 1, 1])
  t.equal(handler.pads, desk.pads)
})

t.test('a connection that the pool ends as it begins: no part hears of it', async (t) => {
  const order: string[] = []
  const { desk, handler } = makeJoined(order)
  desk.onReady = () => { handler.onClosed('closed') }
  handler.onReady(channel)
  t.same(order, [])
})

t.test('one message has one owner', async (t) => {
  const part: PeerPart = { names: ['tunnel'], onReady: () => {}, onClosed: () => {}, onMessage: () => {} }
  t.throws(() => joinParts(new Desk('kme-a', new EndlessPads()), [part, part]), /invariant violated/)
})
