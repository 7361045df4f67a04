import { join } from 'node:path'
import t from 'tap'
import { bench, folder, until } from '../native/ring-support.js'
import { compare, DeviceProcess, Listener, more, SLOTS, world } from './source-support.js'

t.test('restart with and without state: a new epoch, resent names are taken once, nothing is lost', async (t) => {
  const { a, b, device } = await world(t)
  for (const state of [true, false]) {
    const before = a.told().filter((type) => type === 'epoch').length
    await device.send({ cmd: 'restart', state })
    await until(() => a.told().filter((type) => type === 'epoch').length > before, 'new epoch')
    await more(a, 60)
  }
  await until(() => (a.source.counters()['repeats'] ?? 0) > 0, 'what was durable comes again as repeats')
  t.same([a.twice, b.twice, compare(a, b).different], [0, 0, 0])
  t.equal(a.source.view().quarantine, '')
})

t.test('a KME that restarts gets what it had not stored, and each name once', async (t) => {
  const { a, b, ringB, parts, device } = await world(t)
  b.hold = true
  await until(() => b.held.length > 0, 'a batch that is never stored')
  const lost = [...b.frames.keys()]
  b.source.close()
  const frozen = a.frames.size
  const again = new Listener(t, parts, { path: ringB, slots: SLOTS }).start()
  await more(a, 50)
  await until(() => lost.slice(-1).every((name) => again.frames.has(name)), 'the unacknowledged frames come again')
  t.ok(a.frames.size > frozen)
  t.equal(compare(a, again).different, 0)
  t.ok(device.events.filter(({ event }) => event === 'attached').length >= 3)
  t.match(again.source.header(), { witnessEpoch: 1 })
})

t.test('an overrun drops whole blocks at both ends, the same ones, with flag 16 behind them', async (t) => {
  const { a, b, device } = await world(t)
  const answer = await device.send({ cmd: 'overrun', frames: 20_000 })
  t.ok(Number(answer['dropped']) > 10_000)
  await until(() => a.kinds().includes('device-dropped') && b.kinds().includes('device-dropped'), 'flag 16')
  t.equal(a.source.counters()['deviceDrops'], answer['dropped'])
  await more(a, 30)
  await until(() => compare(a, b).common >= a.frames.size - 40, 'both have the same names')
  t.equal(compare(a, b).different, 0)
})

t.test('names are stable over a restart of the process with its state file', async (t) => {
  const dir = folder(t), parts = bench(), ringA = join(dir, 'a'), ringB = join(dir, 'b'), state = join(dir, 'state')
  const a = new Listener(t, parts, { path: ringA, slots: 256 }).start(), b = new Listener(t, parts, { path: ringB, slots: 256 }).start()
  for (let run = 0; run < 3; run++) {
    const size = a.frames.size
    // Fresh random bytes each run (no seed): a name used twice would quarantine.
    const device = new DeviceProcess(t, dir, ['--ring-a', ringA, '--ring-b', ringB, '--rate', '20M', '--state', state])
    await device.attached()
    await until(() => a.frames.size > size + 40 && b.frames.size > size + 40, 'frames')
    device.child.kill(run === 1 ? 'SIGTERM' : 'SIGKILL')
    await device.ended()
  }
  t.same([a.source.view().quarantine, a.twice, b.twice, compare(a, b).different], ['', 0, 0, 0])
})
