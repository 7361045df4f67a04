import t from 'tap'
import { describeFailure, runCampaign } from '../../sim/check/campaign.js'
import { mixOf } from '../../sim/mesh/check/mix.js'
import { runMeshModel } from '../../sim/mesh/check/model.js'
import { meshMutants } from '../relay/mutants.js'

t.setTimeout(240_000)
/** A change of the engine changes what a seed brings about: so many of those that can do it, from the one that is named, may be needed. */
const SEEDS = 16, NODES = 5

t.test('networks of five KMEs under random trouble: no rule breaks, and key comes back after calm', async (t) => {
  const run = { nodes: 5, steps: 0 }
  let fetched = 0, relayed = 0
  const failure = await runCampaign({ ...run, from: 1, seeds: 2 }, (r) => { fetched += r.fetched; relayed += r.relayed })
  if (failure !== undefined) t.fail(describeFailure(failure, run))
  t.ok(fetched > 20 && relayed > 3, `the runs deliver and relay (${fetched}, ${relayed})`)
})

t.test('a seed repeats exactly', async (t) => {
  const [first, second] = [await runMeshModel({ seed: 2, nodes: 5 }), await runMeshModel({ seed: 2, nodes: 5 })]
  t.same(second, first)
})

const violations = async (seed: number): Promise<number> => (await runMeshModel({ seed, nodes: NODES })).violations.length

for (const { rule, seed, behind, remove, needs = () => true } of meshMutants) {
  t.test(`the network notices when a rule is removed: ${rule}`, async (t) => {
    if (behind !== undefined) t.teardown(behind())
    let isNoticed = false
    for (let next = seed, tried = 0; tried < SEEDS && !isNoticed; next++) {
      if (!needs(mixOf(next, NODES))) continue
      tried++
      const putBack = remove()
      try { isNoticed = await violations(next) > 0 } finally { putBack() }
      if (isNoticed && behind !== undefined) isNoticed = await violations(next) === 0 // What stands behind it is not what is noticed.
    }
    t.ok(isNoticed, `a seed from ${seed} on notices`)
  })
}
