import t from 'tap'
import { makeRecordHeader, RECORD_KIND } from '../../src/store/record.js'
import type { SimNode } from '../../sim/pool/node.js'
import { fetched, keysFor, liveWorld, staysRight } from './lab.js'

/** Takes every cell of the arena. @returns gives them back. */
const fillArena = (node: SimNode): (() => void) => {
  const { vault, sealer, start } = node.running
  const pinned: { block: ReturnType<typeof vault.createBlock>, frame: number }[] = []
  const { keys } = node.pool.core.deps
  try {
    for (let n = 1; ; n++) {
      const block = vault.createBlock(1_000_000 + n, 0, new Uint32Array(16).fill(3_968))
      for (let i = 0; i < 16; i++) {
        const record = new Uint8Array(4_096)
        const length = vault.sealBytes(sealer, makeRecordHeader(RECORD_KIND.device, { link: 9, id: '0'.repeat(32), offset: i }, 3_968, 1, start), new Uint8Array(3_968), record)
        vault.loadFrame(block, i, keys.opener(record), record.subarray(0, length))
        vault.pinFrame(block, i)
        pinned.push({ block, frame: i })
      }
    }
  } catch (error) { if ((error as { code?: string }).code !== 'ARENA_FULL') throw error }
  return () => { for (const { block, frame } of pinned) vault.unpinFrame(block, frame) }
}

t.setTimeout(60_000)
t.test('a full arena is a refusal that passes: for masters, slaves, proposals and ID keys', async (t) => {
  const world = await liveWorld(t)
  const [a, b] = world.nodes
  const ids = await keysFor(world, 'a1', 'b1', 4)
  const giveA = fillArena(a), giveB = fillArena(b)
  const codes: string[] = []
  for (let i = 0; i < 12; i++) { world.ask('a1', ['b1'], 128, 1_024, (answer) => { codes.push('keys' in answer ? 'keys' : answer.refusal.code) }); await world.wait(200) }
  t.ok(codes.includes('NO_KEYS') && codes.at(-1) === 'NO_KEYS', 'no room: 503')
  t.equal(await fetched(world, 'b1', 'a1', ids), 'BUSY')
  world.frames(40)
  await world.wait(3_000)
  t.ok(a.process !== undefined && b.process !== undefined, 'both live')
  giveA()
  giveB()
  await world.wait(12_000)
  t.equal(await fetched(world, 'b1', 'a1', ids), 'keys', 'nothing was lost')
  t.ok((await keysFor(world, 'a1', 'b1', 128, 1_024)).length > 0)
  t.same([...a.bugs, ...b.bugs], [])
  await staysRight(t, world)
})
