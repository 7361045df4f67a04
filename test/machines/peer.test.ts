import t from 'tap'
import { peerMachine } from '../../machines/peer.js'
import { checkTable, run, type Bench, type Step } from './table.js'

const dialler: Bench = { machine: peerMachine, input: { peer: 'B', dials: true }, effects: 'channel' }
const listener: Bench = { machine: peerMachine, input: { peer: 'B', dials: false }, effects: 'channel' }
const opened = { type: 'peer.opened' }
const greeted = { type: 'peer.greeted' }
const ready = { type: 'peer.ready' }
const closed = { type: 'peer.closed', reason: 'network', refused: false }
const refused = { type: 'peer.closed', reason: 'certificate', refused: true }
const disable = { type: 'peer.disable' }
const enable = { type: 'peer.enable' }
const stop = { type: 'stop' }
const channelDies = { type: 'xstate.error.actor.channel', error: new Error('boom') }
const columns = { opened, greeted, ready, closed, refused, disable, enable, stop, channelDies, wait10s: 10_000, wait30s: 30_000 }
const upward = { authenticating: [opened], resynchronising: [opened, greeted], ready: [opened, greeted, ready], stopped: [stop], failed: [channelDies] }
const fromReady = { ...upward, backingOff: [opened, closed] as Step[] }

t.test('peer that calls: every state with every event', async t => {
  const b = 'backingOff', d = 'disconnected', a = 'authenticating', r = 'resynchronising', end = 'stopped failed'
  checkTable(t, {
    ...dialler, columns,
    paths: { ...fromReady, connecting: [], disconnected: [disable] },
    rows: {
      //                opened greeted ready closed refused disable enable     stop+dies 10s        30s
      disconnected:    `.      .       .     .      .       .       connecting ${end}    .          .`,
      connecting:      `${a}   .       .     ${b}   ${b}    ${d}    .          ${end}    ${b}       connecting`,
      authenticating:  `.      ${r}    .     ${b}   ${b}    ${d}    .          ${end}    ${b}       connecting`,
      resynchronising: `${a}   .       ready ${b}   ${b}    ${d}    .          ${end}    .          ${b}`,
      ready:           `${a}   .       .     ${b}   ${b}    ${d}    .          ${end}    .          .`,
      backingOff:      `${a}   .       .     .      .       ${d}    connecting ${end}    connecting connecting`,
      stopped:         '.      .       .     .      .       .       .          . .       .          .',
      failed:          '.      .       .     .      .       .       .          . .       .          .',
    },
  })
})

t.test('peer that listens: every state with every event', async t => {
  const b = 'backingOff', d = 'disconnected', a = 'authenticating', r = 'resynchronising', end = 'stopped failed'
  checkTable(t, {
    ...listener, columns,
    paths: { ...fromReady, disconnected: [] },
    rows: {
      disconnected:    `${a}   .       .     .      .       .       .          ${end}    .          .`,
      authenticating:  `.      ${r}    .     ${b}   ${b}    ${d}    .          ${end}    ${b}       ${d}`,
      resynchronising: `${a}   .       ready ${b}   ${b}    ${d}    .          ${end}    .          ${b}`,
      ready:           `${a}   .       .     ${b}   ${b}    ${d}    .          ${end}    .          .`,
      backingOff:      `${a}   .       .     .      .       ${d}    ${d}       ${end}    ${d}       ${d}`,
      stopped:         '.      .       .     .      .       .       .          . .       .          .',
      failed:          '.      .       .     .      .       .       .          . .       .          .',
    },
    unreachable: ['connecting'],
  })
})

t.test('calls come at doubling, capped distances; a refusal waits longest; a stable connection forgives', async t => {
  const r = run(dialler)
  const waitsMs = (event: Step, times: number): number[] => Array.from({ length: times }, () => {
    r.play(event)
    const sinceMs = r.clock.now()
    while (r.state() === 'backingOff') r.play(250)
    return r.clock.now() - sinceMs
  })
  t.same(waitsMs(closed, 8), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
  r.play(opened, greeted, ready, 30_000)
  t.same(waitsMs(closed, 1), [500])
  t.same(waitsMs(refused, 1), [30_000])
})

t.test('each state of a connection has its time limit, and what is open is hung up', async t => {
  for (const [path, ms] of [[[], 10_000], [[opened], 10_000], [[opened, greeted], 30_000]] as const) {
    const r = run(dialler, ...path, ms - 1)
    t.not(r.state(), 'backingOff')
    r.play(1)
    t.equal(r.state(), 'backingOff')
    t.equal(r.commands.at(-1), 'peer.hangUp {"reason":"backing off"}')
  }
})

t.test('down and refused are alerts that end when the peer is ready', async t => {
  const r = run(dialler, opened, greeted, ready, closed, 500, refused, 30_000, opened, greeted, ready)
  t.same(r.emitted.filter((e) => e.startsWith('+')), ['+peer.down', '+peer.refused'])
  t.same(r.emitted.slice(-2), ['-peer.down', '-peer.refused'])
})

t.test('a disabled peer is not called and not let in', async t => {
  const r = run(listener, disable, opened)
  t.equal(r.state(), 'disconnected')
  t.equal(r.commands.at(-1), 'peer.hangUp {"reason":"disabled by an operator"}')
  r.play(enable, opened)
  t.equal(r.state(), 'authenticating')
})

t.test('the side that gives way waits its grace, and takes a call of the peer meanwhile', async t => {
  const giving: Bench = { ...dialler, input: { peer: 'B', dials: true, graceMs: 3_000 } }
  t.equal(run(giving, 2_999).state(), 'disconnected')
  t.equal(run(giving, 3_000).state(), 'connecting')
  t.equal(run(giving, 1_000, opened, 5_000).state(), 'authenticating')
  t.equal(run(giving, disable, 10_000).state(), 'disconnected')
})
