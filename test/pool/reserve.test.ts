import t from 'tap'
import type { Answer } from '../../sim/sae-answer.js'
import { keysFor, liveWorld, staysRight } from './lab.js'

t.setTimeout(60_000)

const MAX_STOCK_BYTES = 640_000
/** 20 % of the half that A cuts keys from. */
const KEPT_BYTES = 64_000

t.test('the last of a lane is for chosen SAEs only: others get 503 before it, however often they ask, and see no key in their status', async (t) => {
  const world = await liveWorld(t, { limits: { keyTtlMs: 600_000, fetchTtlMs: 60_000, maxStockBytes: MAX_STOCK_BYTES }, reserve: { saes: ['a1'], percent: 20 } })
  const [a] = world.nodes
  const free = (): number => a.pool.lane.freeBytes(true)
  t.ok(free() > KEPT_BYTES + 50_000, `there is more than the reserve (${free()})`)
  const refused: Answer[] = []
  for (let round = 0; round < 400; round++) {
    const number = [64, 8, 1][round % 3]!
    world.ask(round % 2 === 0 ? 'a2' : 'a3', ['b1'], number, 1_024, (answer) => { if (!('keys' in answer)) refused.push(answer) })
    await world.wait(60)
  }
  t.ok(free() >= KEPT_BYTES, `the reserve is whole (${free()})`)
  t.ok(free() < KEPT_BYTES + 1_024, `and everything above it was theirs (${free()})`)
  t.same(refused.at(-1), { refusal: { code: 'NO_KEYS', message: 'insufficient key material', retryAfterS: 1 } })
  const stored = (caller: string): number => {
    const status = a.running.service.status(caller, 'b1')
    return 'storedKeyCount' in status ? status.storedKeyCount : -1
  }
  t.ok(stored('a2') < 32, 'status says what this SAE can have')
  t.ok(stored('a1') >= KEPT_BYTES / 32)
  const before = free()
  t.equal((await keysFor(world, 'a1', 'b1', 64, 1_024)).length, 64, 'a chosen SAE goes on')
  t.ok(free() < before - 8_000)
  await staysRight(t, world)
})

t.test('nothing is kept of keys between two SAEs of this KME', async (t) => {
  const world = await liveWorld(t, { reserve: { saes: ['a1'], percent: 90 } })
  t.equal((await keysFor(world, 'a2', 'a3', 4)).length, 4)
})
