import t from 'tap'
import { until } from '../native/ring-support.js'
import { compare, more, world } from './source-support.js'

t.test('both ends get equal frames under equal names, and the device learns what is durable', async (t) => {
  const { a, b, device } = await world(t)
  await more(b, 100)
  const { common, different } = compare(a, b)
  t.ok(common > 100)
  t.equal(different, 0)
  const stats = await device.send({ cmd: 'stats' })
  t.match(stats, { ok: true, droppedFrames: 0, sides: { a: { attached: true, gaps: 0 }, b: { attached: true } } })
  t.ok((stats['sides'] as { a: { durableBlock: number } }).a.durableBlock > 0)
  t.match(await device.send({ cmd: 'stop' }), { ok: true })
  t.equal(await device.ended(), 0)
  t.equal(device.events.at(-1)?.['event'], 'stopped')
})

t.test('faults of single frames: refused at that end, told, the link goes on', async (t) => {
  const { a, b, device } = await world(t)
  for (const [i, cmd] of ['wrong-crc', 'torn'].entries()) {
    t.match(await device.send({ cmd, side: 'a', frames: 2 }), { ok: true })
    await until(() => a.source.counters()['badCrc'] === 2 * i + 2, `two frames are ${cmd}`)
    await more(a, 5) // Three bad ones in a row would be a quarantine.
  }
  t.equal(b.source.counters()['badCrc'], 0)
  t.match(await device.send({ cmd: 'gap', side: 'b', frames: 3 }), { ok: true })
  await until(() => b.notices.some((notice) => notice.type === 'incident' && notice.incident.kind === 'gap' && notice.incident.detail === 3), 'the gap')
  await more(b, 10)
  t.match(await device.send({ cmd: 'duplicate', side: 'b', frames: 5 }), { ok: true })
  await until(() => b.source.counters()['repeats'] === 5, 'five repeats')
  t.match(await device.send({ cmd: 'test-data', side: 'b', frames: 2 }), { ok: true })
  t.match(await device.send({ cmd: 'abort', side: 'b' }), { ok: true })
  await until(() => b.kinds().includes('aborted') && b.source.counters()['testFrames'] === 2, 'test data and aborted')
  t.equal(b.twice, 0)
  t.equal(compare(a, b).different, 0)
})

t.test('sides that differ: names agree, bytes do not (the confirmation of blocks finds it)', async (t) => {
  const { a, b, device } = await world(t)
  await device.send({ cmd: 'other-bytes', side: 'b', frames: 4 })
  await until(() => compare(a, b).different === 4, 'four frames differ')
  t.equal(b.source.view().quarantine, '')
})

t.test('replay under new names and stuck bits quarantine both ends', async (t) => {
  for (const [command, reason] of [[{ cmd: 'replay', blocks: 1 }, 'replay'], [{ cmd: 'stuck-line', frames: 2 }, 'stuck'], [{ cmd: 'stuck-byte', frames: 1 }, 'stuck']] as const) {
    const { a, b, device } = await world(t)
    await device.send(command)
    await until(() => a.source.view().quarantine === reason && b.source.view().quarantine === reason, reason)
    device.child.kill('SIGKILL')
    t.pass(reason)
  }
})

t.test('cut, noise and stall stop the key and say so; resume brings it back', async (t) => {
  const { a, device } = await world(t)
  for (const [command, told] of [[{ cmd: 'cut' }, 'stalled'], [{ cmd: 'noise', qber: 0.2 }, 'drained'], [{ cmd: 'stall' }, 'stalled']] as const) {
    const before = a.told().filter((type) => type === told).length
    t.match(await device.send(command), { ok: true })
    await until(() => a.told().filter((type) => type === told).length > before || command.cmd === 'cut' && a.source.view().state === 'stalled', `${command.cmd} is told`)
    if (command.cmd === 'noise') await device.send({ cmd: 'noise', qber: 0.05 })
    t.match(await device.send({ cmd: 'resume' }), { ok: true })
    await more(a, 10)
  }
  await until(() => a.source.header()['lastQberPpm'] === 50_000, 'the error rate is in the frames')
})

t.test('commands are checked', async (t) => {
  const { device } = await world(t)
  const bad: [Record<string, unknown> | string, RegExp][] = [
    ['{', /JSON/], [{ cmd: 'explode' }, /cmd must be one of/], [{ cmd: 'torn' }, /wrong members/], [{ cmd: 'torn', frames: 0 }, /wrong members/],
    [{ cmd: 'noise', qber: 0.7 }, /wrong members/], [{ cmd: 'stats', extra: 1 }, /wrong members/], [{ cmd: 'rate', rate: 'fast' }, /not a rate/],
    [{ cmd: 'gap', frames: 1, side: 'c' }, /wrong members/], ['x'.repeat(5_000), /JSON|4096 bytes/],
  ]
  for (const [command, error] of bad) t.match(await device.send(command), { ok: false, error })
  t.match(await device.send({ cmd: 'rate', rate: '1M' }), { ok: true })
})
