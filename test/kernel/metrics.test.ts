import t from 'tap'
import { Counters, DoublingHistogram, latencyHistogram } from '../../src/kernel/metrics.js'

t.test('counters add in place and give one sample per name', async t => {
  const c = new Counters(['a', 'b'])
  c.add('a')
  c.add('b', 5)
  const slot = c.slot('b')
  c.values[slot] = (c.values[slot] ?? 0) + 1
  t.same(c.samples('what'), [{ labels: { what: 'a' }, value: 1 }, { labels: { what: 'b' }, value: 6 }])
})

t.test('a value falls into the first bucket whose bound is not below it', async t => {
  const bounds = new DoublingHistogram(1, 5).bounds
  t.same(bounds, [1, 2, 4, 8, 16])
  for (const value of [0, 0.5, 1, 1.0001, 2, 3, 4, 4.1, 8, 15.9, 16, 16.1, 1e9, Infinity]) {
    const h = new DoublingHistogram(1, 5)
    h.observe(value)
    const expected = bounds.findIndex((bound) => value <= bound)
    t.equal([...h.counts].findIndex((n) => n === 1), expected === -1 ? 5 : expected, String(value))
  }
})

t.test('exact bounds of the latency histogram are not pushed up by rounding', async t => {
  for (const [i, bound] of latencyHistogram().bounds.entries()) {
    const h = latencyHistogram()
    h.observe(bound)
    t.equal(h.counts[i], 1)
    t.equal(h.sum, bound)
  }
})
