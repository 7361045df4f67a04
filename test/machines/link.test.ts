import t from 'tap'
import { linkMachine } from '../../machines/link.js'
import { checkTable, run, type Bench } from './table.js'

const bench: Bench = { machine: linkMachine, input: { link: 'l1' }, effects: 'effects' }
const deviceUp = { type: 'link.device', up: true }
const deviceDown = { type: 'link.device', up: false }
const peerUp = { type: 'link.peer', up: true }
const peerDown = { type: 'link.peer', up: false }
const confirmed = { type: 'link.confirmed' }
const mismatch = { type: 'link.mismatch' }
const qber = (value: number) => ({ type: 'link.qber', qber: value })
const good = qber(0.02), between = qber(0.047), warn = qber(0.06), abort = qber(0.12)
const replay = { type: 'link.integrity', cause: 'replay' }
const release = { type: 'link.release' }
const hold = { type: 'link.hold' }
const heldThere = { type: 'link.heldThere', held: true }, freeThere = { type: 'link.heldThere', held: false }
const full = { type: 'link.full' }
const compromised = { type: 'link.compromised', deviceBlock: 'ab', delivered: true }
const stop = { type: 'stop' }
const effectsDie = { type: 'xstate.error.actor.effects', error: new Error('boom') }
const up = [deviceUp, peerUp, confirmed]

const columns = {
  deviceUp, deviceDown, peerUp, peerDown, confirmed, mismatch, good, between, warn, abort, replay, full, compromised, release, hold, heldThere, freeThere, stop, effectsDie, wait120s: 120_000,
}
const paths = {
  down: [], synchronising: [deviceUp, peerUp], up, degraded: [...up, warn], quarantined: [...up, replay],
  recovering: [...up, replay, release], stopped: [stop], failed: [effectsDie],
}

t.test('link: every state with every event', async t => {
  const q = 'quarantined'
  checkTable(t, {
    ...bench, columns, paths, passing: ['deciding'],
    rows: {
      //               devUp devDown peerUp peerDown confirmed mismatch good between warn abort replay full compromised release    hold heldThere freeThere stop   effectsDie wait
      down:          `. .    . .    . .  . . . .    ${q} . . .          ${q} ${q} . stopped failed .`,
      synchronising: `. down . down up . . . . ${q} ${q} up . .          ${q} ${q} . stopped failed .`,
      up:            `. down . down . .  . . degraded ${q} ${q} . . .   ${q} ${q} . stopped failed .`,
      degraded:      `. down . down . .  up . . ${q} ${q} . . .         ${q} ${q} . stopped failed .`,
      quarantined:   `. .    . .    . .  . . . .    .    . . recovering .    . . stopped failed .`,
      recovering:    `. .    . .    . ${q} . . ${q} ${q} ${q} . . .     ${q} ${q} . stopped failed .`,
      stopped:       '. .    . .    . .  . . . .    .    . . .          . . .   .       .      .',
      failed:        '. .    . .    . .  . . . .    .    . . .          . . .   .       .      .',
    },
  })
})

t.test('a link needs both device and peer, in any order', async t => {
  t.equal(run(bench, deviceUp).state(), 'down')
  t.equal(run(bench, peerUp).state(), 'down')
  t.equal(run(bench, peerUp, deviceUp).state(), 'synchronising')
})

t.test('three mismatches in a row are a quarantine, and a confirmed block breaks the row', async t => {
  t.equal(run(bench, ...up, mismatch, mismatch).state(), 'up')
  t.equal(run(bench, ...up, mismatch, mismatch, confirmed, mismatch, mismatch).state(), 'up')
  t.equal(run(bench, ...up, mismatch, mismatch, mismatch).state(), 'quarantined')
  t.equal(run(bench, ...up, mismatch, mismatch, peerDown, peerUp, mismatch).state(), 'quarantined', 'a reconnection does not break the row')
})

t.test('the warning level has a distance: between clear and warn nothing changes', async t => {
  t.equal(run(bench, ...up, between).state(), 'up')
  t.equal(run(bench, ...up, warn, between).state(), 'degraded')
  t.equal(run(bench, ...up, warn, between, good).state(), 'up')
})

t.test('a quarantine by error rate heals itself, on probation; any other waits for an operator', async t => {
  const byQber = run(bench, ...up, abort, between)
  t.equal(byQber.state(), 'quarantined')
  byQber.play(good)
  t.equal(byQber.state(), 'recovering')
  for (const cause of ['replay', 'other-bytes', 'three-bad', 'stuck']) {
    const integrity = { type: 'link.integrity', cause }
    t.equal(run(bench, ...up, integrity, good, confirmed).state(), 'quarantined', cause)
  }
  t.equal(run(bench, ...up, abort, replay, good).state(), 'quarantined', 'a replay on top of a bad error rate does not heal')
})

t.test('probation: three confirmed blocks end it, one mismatch ends it badly', async t => {
  const on = [...up, replay, release]
  t.equal(run(bench, ...on, confirmed, confirmed).state(), 'recovering')
  t.equal(run(bench, ...on, confirmed, confirmed, confirmed).state(), 'up')
  t.equal(run(bench, ...on, peerDown, confirmed, confirmed, confirmed).state(), 'down', 'without a peer it is down after it')
  t.equal(run(bench, ...on, confirmed, mismatch).state(), 'quarantined')
})

t.test('admission is withdrawn with its cause and given back at release', async t => {
  const r = run(bench, ...up, replay, release)
  t.same(r.commands, ['link.admission {"admit":false,"cause":"replay"}', 'link.admission {"admit":true}'])
  t.same(r.emitted.filter((e) => e !== '-link.down' && e !== '-link.silent' && e !== '-device.compromised'), ['security:link.quarantined', '+link.quarantined', '-link.quarantined'])
})

t.test('a key block that the device takes back is an alert until an operator has seen it', async t => {
  const r = run(bench, ...up, compromised)
  t.equal(r.state(), 'up')
  t.ok(r.emitted.includes('+device.compromised'))
  t.notOk(r.emitted.includes('-device.compromised'))
  r.play(release)
  t.ok(r.emitted.includes('-device.compromised'))
})

t.test('a link whose pool is full comes up after a cut without a new block', async t => {
  const r = run(bench, ...up, deviceDown, deviceUp)
  t.equal(r.state(), 'synchronising')
  r.play(full)
  t.equal(r.state(), 'up')
})

t.test('a quarantine outlives a restart', async t => {
  const r = run({ ...bench, input: { link: 'l1', quarantined: 'replay' } }, deviceUp, peerUp, good, confirmed)
  t.equal(r.state(), 'quarantined')
  t.same(r.commands, ['link.admission {"admit":false,"cause":"replay"}'])
})

t.test('both ends up and nothing confirmed is an alert that ends with the first block', async t => {
  const r = run(bench, deviceUp, peerUp, 119_000)
  t.notOk(r.emitted.includes('+link.silent'))
  r.play(1_000)
  t.ok(r.emitted.includes('+link.silent'))
  r.play(confirmed)
  t.equal(r.emitted.at(-1), '-link.silent')
  r.play(deviceDown)
  t.equal(r.emitted.at(-1), '+link.down')
})

t.test('a hold of the other side ends with it alone; a hold of both sides ends when both have released', async t => {
  t.equal(run(bench, ...up, heldThere, release).state(), 'quarantined', 'only who holds it releases it')
  t.equal(run(bench, ...up, heldThere, freeThere).state(), 'recovering')
  t.equal(run(bench, ...up, hold, heldThere, release).state(), 'quarantined')
  t.equal(run(bench, ...up, hold, heldThere, release, freeThere).state(), 'recovering')
  t.equal(run(bench, ...up, heldThere, hold, freeThere).state(), 'quarantined')
  t.equal(run(bench, ...up, heldThere, hold, freeThere, release).state(), 'recovering')
  t.equal(run(bench, ...up, replay, heldThere, freeThere).state(), 'quarantined', 'what was found out here stays')
  t.equal(run(bench, ...up, heldThere, replay, freeThere).state(), 'quarantined')
  const after = run({ ...bench, input: { link: 'l1', heldThere: true } })
  t.same([after.state(), after.commands.at(-1)], ['quarantined', 'link.admission {"admit":false,"cause":"held-there"}'], 'it outlives a restart')
})
