import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Dropped } from '../../sim/device/dropped.js'
import { parseOptions, parseRate } from '../../sim/device/options.js'
import { Pacer } from '../../sim/device/pacer.js'
import { readState, writeState } from '../../sim/device/state-file.js'

t.test('rates', async (t) => {
  t.same(['1k', '10M', '2.5G', '64000', 'max'].map(parseRate), [1_000, 10_000_000, 2.5e9, 64_000, Infinity])
  for (const bad of ['', '0', '999', '10T', '-5M', '1e6', 'fast']) t.throws(() => parseRate(bad), { code: 'CONFIG_INVALID' })
})

t.test('options: every fault is a message with the usage', async (t) => {
  const base = ['--ring-a', '/a', '--link', '7']
  t.match(parseOptions(base), { ringA: '/a', linkId: 7, rateBps: 1e6, frameBytes: 3_968, qberPpm: 20_000 })
  t.match(parseOptions([...base, '--rate', '1k']), { frameBytes: 96, blockFrames: 1 }, 'a link of 1 kbit/s fills a frame in a second')
  t.match(parseOptions([...base, '--seed', 'x']).seed?.length, 32)
  const bad: [string[], RegExp][] = [
    [[], /--ring-a is needed/], [['--ring-a', 'x'], /--link is needed/], [[...base, '--frame-bytes', '33'], /multiple of 32/],
    [[...base, '--frame-bytes', '4000'], /up to|from 32 to 3968/], [[...base, '--qber', '1'], /--qber/], [[...base, '--nope', '1'], /nope/],
    [['--ring-a', '/a', '--link', '-1'], /link/], [[...base, '--block-frames', '0'], /block-frames/], [[...base, '--mac-key', '/k', '--frame-bytes', '3968'], /3936/],
  ]
  for (const [args, message] of bad) t.throws(() => parseOptions(args), { code: 'CONFIG_INVALID', message })
})

t.test('a pacer grants its rate, and no more than a second at once', async (t) => {
  const pacer = new Pacer(1e6, 1_000, 0) // one frame a millisecond
  let granted = 0
  for (let ms = 1; ms <= 1_000; ms++) granted += pacer.take(ms, 100)
  t.equal(granted, 1_000)
  t.equal(pacer.take(61_000, 1e9), 1_000)
  pacer.setRate(1e3, 61_000)
  t.same([pacer.take(61_500, 10), pacer.take(62_000, 10)], [0, 1])
  pacer.skip(99_000)
  t.equal(pacer.take(99_000, 10), 0)
  t.equal(new Pacer(Infinity, 1_000, 0).take(0, 5), 5)
})

t.test('dropped stretches are skipped and forgotten', async (t) => {
  const dropped = new Dropped()
  dropped.add(10, 20)
  dropped.add(20, 30)
  dropped.add(40, 50)
  dropped.add(60, 60)
  t.same([9, 10, 25, 30, 45, 50].map((frame) => dropped.skip(frame)), [9, 30, 30, 30, 50, 50])
  t.equal(dropped.frames, 30)
  dropped.forgetBelow(30)
  t.same([10, 45].map((frame) => dropped.skip(frame)), [10, 50])
})

t.test('a state file comes back as written; a damaged one is refused', async (t) => {
  const path = join(t.testdir(), 'state')
  t.equal(readState(path), undefined)
  const state = { reservedBlock: 9_000, durableBlock: 17, epoch: 4, frameBytes: 3_968, blockFrames: 16 }
  writeState(path, state)
  t.same(readState(path), state)
  for (const text of ['', '{}', 'null', '{"reservedBlock":1}', JSON.stringify({ ...state, durableBlock: 9_001 }), JSON.stringify({ ...state, epoch: -1 })]) {
    writeFileSync(path, text)
    t.throws(() => readState(path), { code: 'CONFIG_INVALID', message: /damaged/ })
  }
  t.throws(() => readState(t.testdirName), { code: 'CONFIG_INVALID', message: /cannot be read/ })
})
