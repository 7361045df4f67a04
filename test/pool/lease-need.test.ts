import t from 'tap'
import type { Clock } from '../../src/kernel/time.js'
import { LeaseNeed } from '../../src/pool/lease-need.js'
import { defaultPoolLimits } from '../../src/pool/ports.js'
import { Rate } from '../../src/pool/rate.js'

const limits = { ...defaultPoolLimits, leaseMs: 1_000, leaseMinBytes: 1_024, leaseMaxBytes: 63_488 }

/** A lane whose leases arrive at once, asked by a load that begins suddenly. @returns what all requests met together, and the looks it took. */
const drain = (bytesEach: number, perMs: number, requests: number, always: boolean): { sum: number, looks: number } => {
  let nowMs = 0, left = 0, looks = 0, sum = 0
  const clock: Clock = { wallMs: () => nowMs, monoMs: () => nowMs, after: () => () => {} }
  const used = new Rate(clock), need = new LeaseNeed(limits, used)
  for (let i = 0; i < requests; i++) {
    nowMs += 1 / perMs
    sum += left
    left = Math.max(0, left - bytesEach)
    used.note(bytesEach)
    if (!always && need.isCalm(left)) continue
    looks++
    need.look(left)
    left += need.missing(left)
  }
  return { sum, looks }
}

t.test('leases follow use although few requests look', async (t) => {
  const each = drain(32, 25, 100_000, true), few = drain(32, 25, 100_000, false)
  t.equal(each.looks, 100_000)
  t.ok(few.looks < 100_000 / 16, `${few.looks} looks`)
  t.ok(Math.abs(few.sum / each.sum - 1) < 0.02, 'requests find as much leased as if each had looked')
})

t.test('what somebody waits for is missing until it is there, calm or not', async (t) => {
  const clock: Clock = { wallMs: () => 0, monoMs: () => 0, after: () => () => {} }
  const need = new LeaseNeed(limits, new Rate(clock))
  need.look(4_000)
  t.equal(need.missing(4_000), 0)
  t.ok(need.isCalm(4_000))
  need.ask(10_000)
  t.notOk(need.isCalm(4_000))
  need.look(4_000)
  t.ok(need.missing(4_000) >= 6_000)
  t.equal(need.askedBytes, 10_000)
  need.look(10_000)
  t.equal(need.askedBytes, 0)
  t.equal(need.missing(10_000), 0)
  t.ok(need.isCalm(10_000))
  t.notOk(need.isCalm(600), 'below half of the least')
})
