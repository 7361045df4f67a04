import t from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import type { MessageName } from '../../src/peer/messages.js'
import { inside, liveWorld, staysRight, until } from './lab.js'

t.setTimeout(90_000)

type Send = (name: MessageName, body: { seq?: number }) => string

/** Every numbered message that a node's channel takes. `answer`: what the channel says instead. */
const overheard = (node: SimNode, answer: (name: MessageName) => string | undefined = () => undefined): number[] => {
  const seqs: number[] = [], channel = inside(node.pool.core.channel!), send = channel.send.bind(channel) as Send
  channel.send = ((name, body) => {
    const said = answer(name) ?? send(name, body)
    if (said === 'sent' && body.seq !== undefined && name !== 'acknowledge') seqs.push(body.seq)
    return said
  }) satisfies Send
  return seqs
}
const queue = (node: SimNode, count: number): void => {
  for (let i = 0; i < count; i++) node.pool.core.commit((tx) => { node.pool.core.enqueue(tx, 'burn', { blocks: [999_999], cause: 'void' }) })
}
const times = (seqs: readonly number[], seq: number): number => seqs.filter((each) => each === seq).length

t.test('what is not on disk is not said, neither a second later nor over a new connection: after a power cut the peer would remember more of this store than it does', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  await world.wait(1_000)
  let answer: string | undefined = 'no-pad'
  overheard(b, (name) => name === 'burn' ? answer : undefined)
  queue(b, 1)
  await world.wait(50)
  const { lastSent } = b.pool.core.meta, processed = (): number => a.pool.core.meta.lastProcessed
  b.flushMs = 8_000
  queue(b, 3)
  answer = undefined
  await world.wait(2_500)
  t.equal(processed(), lastSent, 'one is on disk')
  b.pool.core.channel!.close('test')
  t.ok(await until(world, () => b.pool.core.ready && a.pool.core.ready))
  await world.wait(500)
  t.equal(processed(), lastSent)
  b.powerCut()
  b.flushMs = 3
  await b.start()
  t.ok(await until(world, () => b.pool.core.ready && a.pool.core.ready))
  t.same([a, b].map((node) => node.events.filter((e) => e.type === 'store.rolledBack' || e.type === 'pool.voided').length), [0, 0])
  await staysRight(t, world)
})

t.test('a connection is told each message once, but for the oldest, which asks for a lost acknowledgement once a second', async (t) => {
  const world = await liveWorld(t), [a, b] = world.nodes
  await world.wait(1_000)
  t.equal(b.pool.core.outbox.size, 0)
  const seqs = overheard(b), from = b.pool.core.meta.lastSent + 1
  let isLost = true
  overheard(a, (name) => isLost && name === 'acknowledge' ? 'no-pad' : undefined)
  queue(b, 20)
  for (let i = 0; i < 20; i++) { await world.wait(250); b.pool.onWritable() }
  t.equal(b.pool.core.outbox.size, 20)
  t.ok(times(seqs, from) >= 4 && times(seqs, from) <= 6, `${times(seqs, from)} times in five seconds`)
  t.same(Array.from({ length: 19 }, (_, i) => times(seqs, from + 1 + i)), new Array(19).fill(1))
  isLost = false
  t.ok(await until(world, () => b.pool.core.outbox.size === 0, 50, 40), 'the answer to that is enough')
  await staysRight(t, world)
})

t.test('a message that the channel does not take keeps those behind it waiting, and they go in order when there is room', async (t) => {
  const world = await liveWorld(t), [, b] = world.nodes
  await world.wait(1_000)
  let answer: string | undefined = 'no-pad'
  const seqs = overheard(b, (name) => name === 'burn' ? answer : undefined), from = b.pool.core.meta.lastSent + 1
  queue(b, 1)
  await world.wait(50)
  answer = undefined
  queue(b, 2)
  await world.wait(10)
  t.same(seqs, [], 'behind it')
  t.ok(await until(world, () => b.pool.core.outbox.size === 0, 50, 40))
  t.same(seqs, [from, from + 1, from + 2])
  answer = 'full'
  queue(b, 2)
  await world.wait(10)
  answer = undefined
  b.pool.onWritable()
  t.same(seqs.slice(3), [from + 3, from + 4], 'at once when the queue has room')
  await staysRight(t, world)
})
