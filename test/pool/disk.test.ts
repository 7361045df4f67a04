import t, { type Test } from 'tap'
import { plainWorld, World } from '../../sim/pool/world.js'

type Home = 0 | 1

/** Short life of two KMEs: stock, keys both ways, a clean stop and a start. */
const scenario = async (world: World): Promise<void> => {
  for (const node of world.nodes) if (node.process === undefined) await node.start()
  await world.wait(1_500)
  world.frames(60)
  await world.wait(3_000)
  for (const [master, slave] of [['a1', 'b1'], ['b1', 'a1']] as const) {
    world.ask(master, [slave], 3, 256, (answer) => { if ('keys' in answer) world.fetch(slave, master, answer.keys.map((k) => k.id)) })
    await world.wait(300)
  }
  if (world.nodes[0].process !== undefined) await world.nodes[0].stop()
}

const survive = async (t: Test, what: string, trouble: (world: World) => void): Promise<void> => {
  const world = new World(7, plainWorld)
  try {
    trouble(world)
    await scenario(world)
    world.check()
    await world.calm(async (home) => { if (world.nodes[home].process === undefined) await world.nodes[home].start() })
    t.same(world.ledger.violations, [], what)
  } finally { world.dispose() }
}

// Some operations only: each life takes a second.
t.setTimeout(120_000)
for (const home of [0, 1] as const satisfies readonly Home[]) {
  t.test(`node ${home}: the n-th operation of the store fails, and nothing is lost or given twice`, async (t) => {
    for (let n = 2; n <= 60; n += 19) await survive(t, `operation ${n}`, (world) => { world.nodes[home].disk.failNth(n) })
  })

  t.test(`node ${home}: power is cut after the n-th operation, and what was not flushed is gone`, async (t) => {
    for (let n = 2; n <= 60; n += 19) {
      await survive(t, `operation ${n}`, (world) => {
        const { disk } = world.nodes[home]
        const count = disk.operation.bind(disk)
        let left = n
        disk.operation = (kind) => {
          count(kind)
          if (--left === 0) queueMicrotask(() => { world.nodes[home].powerCut() })
        }
      })
    }
  })
}
