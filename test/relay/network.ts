import type { Test } from 'tap'
import { MeshWorld, type MeshOptions } from '../../sim/mesh/world.js'
import { accountOf } from '../../src/pool/accounts.js'
import type { Answer, GotKey } from '../../sim/sae-answer.js'

/** A running network, disposed of after the test. */
export const network = async (t: Test, o: MeshOptions): Promise<MeshWorld> => {
  const world = new MeshWorld({ relayLimits: { reserveBytes: 16_384 }, ...o })
  t.teardown(() => { world.dispose() })
  await world.startAll()
  return world
}

export const keysOf = (answer: Answer | undefined): readonly GotKey[] => answer !== undefined && 'keys' in answer ? answer.keys : []
export const refusalOf = (answer: Answer | undefined): string => answer === undefined ? 'no answer' : 'refusal' in answer ? answer.refusal.code : ''

/** Both SAEs have equal keys. */
export const sameKeys = (t: Test, { master, slave }: { master: Answer | undefined, slave: Answer | undefined }, what: string): void => {
  t.ok(keysOf(master).length > 0, `${what}: the master has keys ${refusalOf(master)}`)
  t.same(keysOf(slave), keysOf(master), `${what}: the slave has the same ${refusalOf(slave)}`)
}

/** I10 at every KME: no bug, and every bit in one account. */
export const balanced = (t: Test, world: MeshWorld): void => {
  for (const [id, kme] of world.kmes) {
    t.same(kme.bugs, [], `no bug at ${id}`)
    if (kme.process === undefined) continue
    for (const pool of [...kme.running.pools.values(), ...kme.running.relayed.values()]) t.equal(accountOf(pool).differenceBits, 0, `the account of ${id} - ${pool.core.pool} adds up`)
  }
}
