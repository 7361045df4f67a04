import t from 'tap'
import { deviceMachine } from '../../machines/device.js'
import { checkTable, run, type Bench } from './table.js'

const limits = { reopenMs: 2_000, faultMinMs: 1_000, faultMaxMs: 8_000, stableMs: 60_000 }
const bench: Bench = { machine: deviceMachine, input: { device: 'd1', limits }, effects: 'ring' }
const attached = { type: 'device.attached', epoch: '7' }
const absent = { type: 'device.absent', reason: 'no such file' }
const frames = { type: 'device.frames' }
const stalled = { type: 'device.stalled' }
const drained = { type: 'device.drained' }
const gap = { type: 'device.gap', frames: 3 }
const epoch = { type: 'device.epoch', epoch: '8' }
const fault = { type: 'device.fault', reason: 'header lies' }
const stop = { type: 'stop' }
const ringDies = { type: 'xstate.error.actor.ring', error: new Error('boom') }

t.test('device: every state with every event', async t => {
  checkTable(t, {
    ...bench,
    columns: { attached, absent, frames, stalled, drained, gap, epoch, fault, stop, ringDies, wait1s: 1_000, wait60s: 60_000 },
    paths: {
      detached: [], attached: [attached], running: [attached, frames], stalled: [attached, stalled], faulty: [fault],
      stopped: [stop], failed: [ringDies],
    },
    rows: {
      //         attached absent   frames  stalled drained  gap epoch    fault  stop    ringDies 1s       60s
      detached: 'attached .        .       .       .        .   .        faulty stopped failed   .        .',
      attached: '.        detached running stalled .        .   .        faulty stopped failed   .        .',
      running:  '.        detached .       stalled attached .   attached faulty stopped failed   .        .',
      stalled:  '.        detached running .       attached .   attached faulty stopped failed   .        .',
      faulty:   '.        .        .       .       .        .   .        .      stopped failed   detached detached',
      stopped:  '.        .        .       .       .        .   .        .      .       .        .        .',
      failed:   '.        .        .       .       .        .   .        .      .       .        .        .',
    },
  })
})

t.test('an absent ring is tried again at its distance, without a busy loop', async t => {
  const r = run(bench)
  t.same(r.commands, ['device.open'])
  r.play(absent)
  t.same(r.commands, ['device.open'], 'an answer does not bring the next question')
  r.play(2_000)
  t.equal(r.commands.length, 2)
  r.play(attached, absent)
  t.equal(r.commands.length, 3, 'a ring that was taken away is asked for once at once')
})

t.test('a faulty ring is closed and opened again after a doubling, capped delay that running forgives', async t => {
  const r = run(bench)
  const waitsMs: number[] = []
  for (let i = 0; i < 6; i++) {
    r.play(fault)
    const sinceMs = r.clock.now()
    while (r.state() === 'faulty') r.play(500)
    waitsMs.push(r.clock.now() - sinceMs)
  }
  t.same(waitsMs, [1_000, 2_000, 4_000, 8_000, 8_000, 8_000])
  t.equal(r.commands.filter((c) => c === 'device.close').length, 6)
  r.play(attached, frames, 60_000, fault, 1_000)
  t.equal(r.state(), 'detached', 'forgiven: the first delay again')
})

t.test('alerts begin and end with their state', async t => {
  const r = run(bench, absent, attached, stalled, frames, fault, 1_000)
  t.same(r.emitted, ['+device.absent', '-device.absent', '+device.stalled', '-device.stalled', '+device.faulty', '-device.faulty'])
})

t.test('gaps, epoch and the cause of a failed ring source are kept', async t => {
  const r = run(bench, attached, frames, gap, epoch, gap)
  const { context } = r.actor.getSnapshot() as unknown as { context: { epoch: string, gaps: number } }
  t.equal(context.epoch, '8')
  t.equal(context.gaps, 6)
  r.play(ringDies)
  t.same(r.actor.getSnapshot().output, { failed: true, code: 'DEVICE_FAULT', reason: 'boom' })
})
