import t from 'tap'
import { packBody, unpackBody } from '../../src/peer/body.js'
import { messages, type Body, type MessageName } from '../../src/peer/messages.js'
import type { PeerChannel } from '../../src/peer/ports.js'
import type { Refusal } from '../../src/peer/refusal.js'
import { FarEnd } from '../../src/relay/far-end.js'
import { classNumber, plain, type PoolClass } from '../../src/relay/pool-class.js'
import { EndlessPads } from '../peer/control-nodes.js'
import { Desk, samples } from '../peer/desk.js'

const two: PoolClass = { paths: 2, hybrid: false }

/** Two ends with the messages between them in the hands of the test. */
const makePair = () => {
  const queue: { readonly to: number, readonly name: MessageName, readonly body: object }[] = []
  const told = [[], []] as string[][], policy = ['no', 'no'], closed: string[] = []
  let room = true
  const ends = ['kme-a', 'kme-b'].map((self, i): FarEnd => new FarEnd({
    self, remote: i === 0 ? 'kme-b' : 'kme-a', storeId: new Uint8Array(16).fill(i + 1), incarnation: 1, nonce: new Uint8Array(16).fill(i + 1),
    invite: (cls) => { if (policy[i] === '') ends[i]!.add(cls, new Desk(self, new EndlessPads()), false); return policy[i]! },
    opened: (cls, isKept) => { told[i]!.push(`opened ${cls.paths}${isKept ? ' kept' : ''}`) }, refused: (cls, reason) => { told[i]!.push(`refused ${cls.paths} ${reason}`) },
    left: (cls, reason) => { told[i]!.push(`left ${cls.paths} ${reason}`) },
  }))
  const channels = [0, 1].map((i): PeerChannel => ({
    remote: i === 0 ? 'kme-b' : 'kme-a', close: (reason) => { closed.push(reason) },
    send: (name, body) => {
      if (!room) return 'full'
      queue.push({ to: 1 - i, name, body: unpackBody(name, packBody(name, body)) as object })
      return 'sent'
    },
  }))
  const pump = (): void => { for (let next = queue.shift(); next !== undefined; next = queue.shift()) ends[next.to]!.onMessage(next.name, next.body) }
  return {
    a: ends[0]!, b: ends[1]!, queue, told, policy, closed, pump, desk: (i: number) => new Desk(i === 0 ? 'kme-a' : 'kme-b', new EndlessPads()),
    connect: () => { ends.forEach((end, i) => { end.onReady(channels[i]!) }); pump() }, disconnect: () => { queue.length = 0; for (const end of ends) end.onClosed('network') },
    set room (has: boolean) { room = has },
  }
}

t.test('pools of one channel open each by a hello of its own, and their messages do not mix', async t => {
  const rig = makePair(), [a1, b1, a2, b2] = [rig.desk(0), rig.desk(1), rig.desk(0), rig.desk(1)]
  rig.a.add(plain, a1, true)
  rig.b.add(plain, b1, false)
  rig.connect()
  t.same(rig.told, [['opened 1'], ['opened 1 kept']])
  t.equal(a1.hellos[0]?.kme, 'kme-b')
  t.equal(a2.send('horizon', samples.horizon), 'no channel')
  rig.b.add(two, b2, true)
  t.equal(b2.send('horizon', samples.horizon), 'no channel', 'one end is not enough')
  rig.queue.length = 0 // What the first end would refuse.
  rig.a.add(two, a2, true)
  rig.pump()
  rig.disconnect()
  rig.connect()
  for (const [desk, name] of [[a1, 'stored'], [a2, 'horizon'], [b2, 'grantAsk']] as const) t.equal(desk.send(name, samples[name]), 'sent')
  rig.pump()
  t.same([a1, b1, a2, b2].map((desk) => desk.got.map((m) => m.name)), [[], ['stored'], ['grantAsk'], ['horizon']])
  t.same(b2.got[0]?.body, samples.horizon)
  rig.disconnect()
  t.same([a1, b2].map((desk) => [desk.closed.at(-1), desk.send('stored', samples.stored)]), [['network', 'no channel'], ['network', 'no channel']])
})

t.test('who is refused hears why and may ask again; what the other opens afterwards is answered', async t => {
  const rig = makePair(), a1 = rig.desk(0)
  rig.a.add(plain, a1, true)
  rig.policy[1] = 'none of that'
  rig.connect()
  t.same(rig.told, [['refused 1 none of that'], []])
  rig.a.retry()
  rig.pump()
  t.equal(rig.told[0]!.length, 2, 'asked again')
  const b1 = rig.desk(1)
  rig.b.add(plain, b1, false)
  rig.pump()
  t.same([rig.told[0]!.at(-1), rig.told[1]!.at(-1)], ['opened 1', 'opened 1 kept'])
  t.equal(b1.send('stored', samples.stored), 'sent')
  rig.pump()
  t.equal(a1.got.length, 1)
})

t.test('who leaves is not answered by an echo, and may come again over the same connection', async t => {
  const rig = makePair(), a1 = rig.desk(0)
  rig.policy[1] = ''
  rig.a.add(plain, a1, false)
  rig.connect()
  a1.send('horizon', samples.horizon) // Under way when the pool ends.
  rig.a.remove(plain, 'nobody uses it')
  const again = rig.desk(0)
  rig.a.add(plain, again, false)
  rig.policy[1] = 'gone'
  t.equal(rig.queue.map((m) => m.name).join(), 'inPool,poolLeave,poolOpen')
  rig.pump()
  t.ok(rig.told[1]!.includes('left 1 nobody uses it'))
  rig.b.remove(plain, 'left') // As whoever is told does.
  t.equal(rig.queue.length, 0, 'no echo')
  rig.policy[1] = ''
  rig.a.remove(plain, 'once more')
  rig.a.add(plain, again, false)
  rig.pump()
  t.equal(again.send('stored', samples.stored), 'sent')
  t.same(rig.closed, [])
})

t.test('what no honest end sends ends the connection; what finds no room is sent later', async t => {
  const rig = makePair()
  rig.a.add(plain, rig.desk(0), true)
  rig.b.add(plain, rig.desk(1), true)
  rig.room = false
  rig.connect()
  t.same(rig.told, [[], []])
  rig.room = true
  for (const end of [rig.a, rig.b]) end.onWritable()
  const open = rig.queue.find((m) => m.name === 'poolOpen')!.body as Body<'poolOpen'>
  rig.pump()
  t.same(rig.told, [['opened 1 kept'], ['opened 1 kept']])
  const bad = (name: MessageName, body: object): void => { t.throws(() => { rig.b.onMessage(name, body) }, { code: 'PROTOCOL' }, name) }
  bad('poolOpen', open)
  bad('poolOpen', { ...open, pool: 9 })
  bad('stored', samples.stored)
  bad('inPool', { pool: classNumber(plain), type: messages.hello.code, body: Uint8Array.of(0x80) })
  bad('inPool', { pool: classNumber(plain), type: messages.inPool.code, body: Uint8Array.of(0x80) })
  const reasonOf = (type: number): unknown => { try { rig.b.onMessage('inPool', { pool: 1, type, body: Uint8Array.of(0x80) }); return 'taken' } catch (error) { return (error as Refusal).reason } }
  t.same([reasonOf(messages.stored.code), reasonOf(254)], ['schema', 'unknown-message'])
  rig.b.onMessage('inPool', { pool: 2, type: messages.stored.code, body: Uint8Array.of(0x80) })
  t.pass('of a pool that is not there nothing is read')
  t.throws(() => { rig.a.onHello(rig.a.hello()) }, { code: 'PROTOCOL' }, 'our own store at the other end')
})
