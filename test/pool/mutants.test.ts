import t from 'tap'
import { runModel } from '../../sim/pool/model.js'
import { mutants } from './mutants.js'

t.setTimeout(120_000)
// Each rule of the engine is there for a reason: without it the model finds a violation, in the run named here.
for (const { rule, seed, restores, jumps, behind, remove } of mutants) {
  t.test(`the model notices when a rule is removed: ${rule}`, async (t) => {
    if (behind !== undefined) {
      t.teardown(behind())
      t.same((await runModel({ seed, steps: 120, restores, ...(jumps === undefined ? {} : { jumps }) })).violations, [], 'what stands behind it is not what is noticed')
    }
    t.teardown(remove())
    const { violations } = await runModel({ seed, steps: 120, restores, ...(jumps === undefined ? {} : { jumps }) })
    t.not(violations.length, 0, `seed ${seed} notices`)
  })
}
