import t from 'tap'
import { Keepalive } from '../../src/peer/keepalive.js'
import { SimClock } from '../../sim/clock.js'

const limits = { pingAfterMs: 5_000, idleTimeoutMs: 20_000 }

const watch = (): { clock: SimClock, keepalive: Keepalive, watched: { bufferedBytes: number, pings: number, deaths: string[], ping (): void, dead (why: string): void } } => {
  const clock = new SimClock()
  const watched = { bufferedBytes: 0, pings: 0, deaths: [] as string[], ping () { this.pings++ }, dead (why: string) { this.deaths.push(why) } }
  return { clock, watched, keepalive: new Keepalive(clock, limits, watched) }
}

t.test('pings only when it is quiet', async (t) => {
  const { clock, watched, keepalive } = watch()
  for (let i = 0; i < 60; i++) {
    clock.advance(1_000)
    keepalive.heard()
  }
  t.same([watched.pings, watched.deaths], [0, []])
  clock.advance(11_000)
  t.equal(watched.pings, 2)
  clock.advance(20_000)
  t.same(watched.deaths.length, 1)
  t.equal(clock.pending, 0, 'and then it is over')
})

t.test('a peer that speaks but does not read is dead too', async (t) => {
  const { clock, watched, keepalive } = watch()
  watched.bufferedBytes = 1_000
  const second = (): void => {
    clock.advance(1_000)
    keepalive.heard()
  }
  for (let i = 0; i < 100; i++) {
    second()
    keepalive.moved()
  }
  t.same(watched.deaths, [], 'slow is not dead')
  for (let i = 0; i < 26; i++) second()
  t.match(watched.deaths, [/has read nothing/])
})

t.test('stop', async (t) => {
  const { clock, watched, keepalive } = watch()
  keepalive.stop()
  clock.advance(100_000)
  t.same([watched.pings, watched.deaths, clock.pending], [0, [], 0])
})

t.test('what a stalled process finds in its socket afterwards counts', async (t) => {
  const { clock, watched, keepalive } = watch()
  clock.advance(20_000) // The timers of the stall run; then the socket is read.
  keepalive.heard()
  t.same(watched.deaths, [])
  clock.advance(20_499)
  t.same(watched.deaths, [], 'silence is believed once what waited has been read')
  clock.advance(1)
  t.match(watched.deaths, [/nothing was heard for 20500 ms/])
})

t.test('a death is seen as late after the last word, whenever that was', async (t) => {
  for (const heardMs of [1, 2_499, 4_999, 5_000, 5_001, 9_999]) {
    const { clock, watched, keepalive } = watch()
    clock.advance(heardMs)
    keepalive.heard()
    clock.advance(5_000 + 4_999)
    t.equal(watched.pings >= 1, true, 'it was asked')
    clock.advance(10_500)
    t.same(watched.deaths, [], `word at ${heardMs}`)
    clock.advance(1)
    t.equal(watched.deaths.length, 1)
  }
})

t.test('a process that stalled longer than the idle time asks before it believes', async (t) => {
  const { clock, watched, keepalive } = watch()
  clock.stall(60_000)
  t.same([watched.pings, watched.deaths], [1, []], 'nobody was asked yet')
  clock.advance(4_999)
  keepalive.heard()
  clock.advance(15_000)
  t.same(watched.deaths, [])
})
