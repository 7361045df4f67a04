import t from 'tap'
import type { Body, MessageName } from '../../src/peer/messages.js'
import { inside, liveWorld, staysRight } from './lab.js'

t.test('frames that keep coming become blocks in rounds, and the first of a stretch at once', async (t) => {
  const world = await liveWorld(t), [a] = world.nodes, { proposals } = inside(a.pool).agreement, launch = proposals.launch.bind(proposals)
  const rounds: { readonly atMs: number, readonly blocks: number }[] = [], startMs = world.clock.monoMs()
  proposals.launch = (composed: readonly unknown[]) => {
    if (composed.length > 0) rounds.push({ atMs: world.clock.monoMs() - startMs, blocks: composed.length })
    launch(composed)
  }
  for (let i = 0; i < 20; i++) { world.frames(16); await world.wait(5) }
  await world.wait(50)
  const blocks = rounds.reduce((sum, round) => sum + round.blocks, 0)
  t.ok(blocks >= 20, `${blocks} blocks`)
  t.ok(rounds[0]!.atMs < 20, 'the first does not wait')
  t.ok(rounds.length >= 4 && rounds.length <= 7, `in ${rounds.length} rounds`)
  t.equal(a.pool.pending.size, 0, 'nothing waits for the next tick')
  world.frames(400)
  await world.wait(1_000)
  t.ok(a.pool.pending.size < 16, 'more than a round holds follows at once')
  await staysRight(t, world)
})

t.test('proposals of one turn are stored in one transaction, before any other message is looked at', async (t) => {
  const world = await liveWorld(t), [, b] = world.nodes, { answers } = inside(b.pool).agreement
  const held: Body<'propose'>[] = [], onPropose = answers.onPropose.bind(answers)
  answers.onPropose = (body: Body<'propose'>) => { held.push(body) }
  world.frames(64)
  await world.wait(200)
  answers.onPropose = onPropose
  t.ok(held.length >= 4, `${held.length} proposals`)
  const [first, ...rest] = held, commit = b.pool.core.commit.bind(b.pool.core)
  let commits = 0
  b.pool.core.commit = (fn) => { commits++; return commit(fn) }
  const says = (name: MessageName, body: object): void => { b.pool.onMessage(name, body) }
  says('propose', first!)
  t.notOk(b.pool.core.blocks.has(first!.number), 'gathered')
  says('stored', { number: 0 })
  t.notOk(b.pool.core.blocks.has(first!.number), 'a word about another block changes nothing')
  says('chainHead', { head: new Uint8Array(32), sequence: 1 })
  t.ok(b.pool.core.blocks.has(first!.number), 'stored before another message')
  t.equal(commits, 1)
  for (const body of rest) says('propose', body)
  says('propose', first!) // Again: its answer was lost.
  t.throws(() => { says('propose', { ...rest[0]!, frames: [rest[0]!.frames[0]!, rest[0]!.frames[0]!] }) }, { code: 'PROTOCOL' }, 'what no honest proposer says ends the connection at once')
  await world.wait(1)
  t.same(held.map(({ number }) => b.pool.core.blocks.get(number)?.state), held.map(() => 'accepted'))
  t.equal(commits, 2, 'one transaction for all of them')
  delete (b.pool.core as { commit?: unknown }).commit
  await world.wait(2_000)
  t.same(held.map(({ number }) => b.pool.core.blocks.get(number)?.state), held.map(() => 'usable'))
  await staysRight(t, world)
})
