import type { Test } from 'tap'
import type { SimNode } from '../../sim/pool/node.js'
import { plainWorld, World, type WorldOptions } from '../../sim/pool/world.js'
import { RECORD_PITCH_BYTES, recordsKey } from '../../src/store/shared-records.js'
import { frameKey, type BlockRow, type FrameRef, type Owner, type Purpose, type BlockState } from '../../src/pool/rows.js'

/** Private members of the engine, by name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const inside = (part: object): any => part

/** Two KMEs that are connected and have stock for both sides. Gone with the test. */
export const liveWorld = async (t: Test, options: Partial<WorldOptions> = {}, frames = 160, seed = 11): Promise<World> => {
  const world = new World(seed, { ...plainWorld, ...options })
  t.teardown(() => { world.dispose() })
  for (const node of world.nodes) await node.start()
  await world.wait(1_500)
  world.frames(Math.min(frames, 90))
  await world.wait(4_000)
  if (frames > 90) { world.frames(frames - 90); await world.wait(4_000) }
  return world
}

/** No rule broken so far; after calm both sides agree, every byte is accounted for, and keys go both ways. */
export const staysRight = async (t: Test, world: World): Promise<void> => {
  world.check()
  await world.calm(async (home) => { if (world.nodes[home].process === undefined) await world.nodes[home].start() }, 2)
  t.same(world.ledger.violations, [], 'no rule is broken, now and after calm')
}

export const blockOf = (node: SimNode, purpose: Purpose, owner: Owner, state: BlockState = 'usable'): BlockRow => {
  for (const b of node.pool.core.blocks.values()) if (b.purpose === purpose && b.owner === owner && b.state === state) return b
  throw new Error(`${node.o.id} has no ${state} ${purpose} block of ${owner}: ${JSON.stringify([...node.pool.core.blocks.values()].map((b) => [b.number, b.owner, b.purpose, b.state]))}`)
}

/** Flips a bit of a stored record, as a bad disk does. Its plaintext is forgotten, too. */
export const damage = (node: SimNode, frame: FrameRef, at = 200): void => {
  const { kv } = node.running
  const key = frame.at === undefined ? frameKey(frame) : recordsKey(frame.link, frame.at.row), row = kv.get(key)!
  row[at + (frame.at?.index ?? 0) * RECORD_PITCH_BYTES]! ^= 1
  kv.transact((tx) => { tx.put(key, row) })
}

/** Every record of a block. */
export const damageBlock = (node: SimNode, block: BlockRow, pool: { core: SimNode['pool']['core'], views: SimNode['pool']['views'] } = node.pool): void => {
  for (const frame of pool.core.framesOf(block.number)) damage(node, frame)
  pool.views.drop(block.number)
}

export const alarms = (node: SimNode, event: string): number => node.events.filter((e) => e.type === 'security' && e.event === event).length

/** Asks until keys come, at most `tries` times. @returns their IDs. */
export const keysFor = async (world: World, master: string, slave: string, number = 1, sizeBits = 256, tries = 8): Promise<string[]> => {
  let ids: string[] = []
  for (let i = 0; i < tries && ids.length === 0; i++) {
    world.ask(master, [slave], number, sizeBits, (answer) => { if ('keys' in answer) ids = answer.keys.map((k) => k.id) })
    await world.wait(500)
  }
  return ids
}

export const fetched = async (world: World, slave: string, master: string, ids: readonly string[]): Promise<string> => {
  let outcome = 'no answer'
  world.fetch(slave, master, ids, (answer) => { outcome = 'keys' in answer ? 'keys' : answer.refusal.code })
  await world.wait(1_000)
  return outcome
}

/** Steps of simulated time until something is so. */
export const until = async (world: World, what: () => boolean, stepMs = 5, steps = 4_000): Promise<boolean> => {
  for (let i = 0; i < steps && !what(); i++) await world.wait(stepMs)
  return what()
}
