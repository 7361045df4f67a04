import t from 'tap'
import { SimClock } from '../../sim/clock.js'
import { ConfirmedNews } from '../../src/runtime/confirmed-news.js'

t.test('the first of a row are told one by one, then four a second, and the last one always', async (t) => {
  const clock = new SimClock(), toldMs: number[] = []
  const news = new ConfirmedNews(clock, () => { toldMs.push(clock.monoMs()) })
  const startMs = clock.monoMs()
  for (let i = 0; i < 16; i++) news.confirmed()
  t.equal(toldMs.length, 16)
  for (let i = 0; i < 1_000; i++) { clock.advance(1); news.confirmed() }
  t.equal(toldMs.length, 16 + 3, 'four a second')
  clock.advance(1_000)
  t.equal(toldMs.length, 16 + 4, 'the last one, too')
  t.ok(toldMs.at(-1)! - startMs <= 1_250)
  clock.advance(10_000)
  t.equal(toldMs.length, 16 + 4)
})

t.test('what is held back is told before anything else, and the row begins anew', async (t) => {
  const clock = new SimClock(), heard: string[] = []
  const news = new ConfirmedNews(clock, () => { heard.push('confirmed') })
  for (let i = 0; i < 20; i++) news.confirmed()
  t.equal(heard.length, 16)
  news.settle()
  heard.push('mismatch')
  for (let i = 0; i < 3; i++) news.confirmed()
  t.same(heard.slice(16), ['confirmed', 'mismatch', 'confirmed', 'confirmed', 'confirmed'])
  clock.advance(10_000)
  t.equal(heard.length, 21)
})
