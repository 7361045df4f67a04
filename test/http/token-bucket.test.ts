import t from 'tap'
import { TokenBuckets } from '../../src/http/token-bucket.js'

t.test('at most burst at once, then perS per second', async (t) => {
  const buckets = new TokenBuckets({ perS: 2, burst: 3 }, 10)
  let taken = 0
  for (let nowMs = 0; nowMs <= 10_000; nowMs += 10) while (buckets.take('a', 1, nowMs) === 0) taken++
  t.equal(taken, 3 + 20)
})

t.test('a refusal says exactly when, and takes nothing', async (t) => {
  const buckets = new TokenBuckets({ perS: 0.5, burst: 1 }, 10)
  t.equal(buckets.take('a', 1, 0), 0)
  t.equal(buckets.take('a', 1, 1_000), 1)
  t.equal(buckets.take('a', 1, 2_000), 0)
})

t.test('an amount above the burst passes with a full bucket and leaves a debt', async (t) => {
  const buckets = new TokenBuckets({ perS: 10, burst: 100 }, 10)
  t.equal(buckets.take('a', 300, 0), 0)
  t.equal(buckets.take('a', 1, 20_000), 0.1)
  t.equal(buckets.take('a', 1, 20_100), 0)
})

t.test('names do not share, what is given back is there again, up to the burst', async (t) => {
  const buckets = new TokenBuckets({ perS: 1, burst: 2 }, 10)
  t.same([buckets.take('a', 2, 0), buckets.take('b', 2, 0)], [0, 0])
  buckets.giveBack('a', 50)
  t.same([buckets.take('a', 2, 0), buckets.take('a', 1, 0), buckets.take('b', 1, 0)], [0, 1, 1])
  buckets.giveBack('nobody', 1)
})

t.test('0 per second is no limit, and keeps nothing', async (t) => {
  const buckets = new TokenBuckets({ perS: 0, burst: 1 }, 10)
  for (let i = 0; i < 100; i++) t.equal(buckets.take('a', 1e9, 0), 0)
  t.equal(buckets.on, false)
  t.equal(buckets.entries, 0)
})

t.test('the number of buckets is bounded', async (t) => {
  const buckets = new TokenBuckets({ perS: 1, burst: 1 }, 10)
  for (let i = 0; i < 1_000; i++) buckets.take(`name ${i}`, 1, 0)
  t.equal(buckets.entries, 10)
})
