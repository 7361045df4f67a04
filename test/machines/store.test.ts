import t from 'tap'
import { storeMachine } from '../../machines/store.js'
import { checkTable, run, type Bench } from './table.js'

const bench: Bench = { machine: storeMachine, input: {}, effects: 'effects' }
const opened = { type: 'store.opened' }
const failed = { type: 'store.failed', code: 'STORE_CORRUPT', reason: 'bad record' }
const locked = { type: 'store.failed', code: 'STORE_LOCKED', reason: 'another process' }
const full = { type: 'store.full' }
const space = { type: 'store.space' }
const closed = { type: 'store.closed' }
const stop = { type: 'stop' }
const dies = { type: 'xstate.error.actor.effects', error: new Error('boom') }

t.test('store: every state with every event', async t => {
  checkTable(t, {
    ...bench,
    columns: { opened, failed, locked, full, space, closed, stop, dies, wait500ms: 500, wait10s: 10_000 },
    paths: {
      opening: [], waiting: [locked], open: [opened], full: [opened, full], closing: [opened, stop], closed: [opened, stop, closed], failed: [failed],
    },
    rows: {
      //        opened failed locked  full space closed stop    dies   500ms   10s
      opening: 'open   failed waiting .    .     .      closing failed .       .',
      waiting: '.      failed failed  .    .     .      closed  failed opening opening',
      open:    '.      failed failed  full .     .      closing failed .       .',
      full:    '.      failed failed  .    open  .      closing failed .       .',
      closing: '.      failed failed  .    .     closed .       failed .       failed',
      closed:  '.      .      .       .    .     .      .       .      .       .',
      failed:  '.      .      .       .    .     .      .       .      .       .',
    },
  })
})

t.test('a store that another process holds is tried again, at most ten times', async t => {
  const r = run(bench)
  for (let i = 0; i < 10; i++) r.play(locked, 500)
  t.equal(r.state(), 'failed')
  t.equal(r.commands.filter((c) => c === 'store.open').length, 10)
  t.same(r.actor.getSnapshot().output, { failed: true, code: 'STORE_LOCKED', reason: 'another process' })
})

t.test('a full store is an alert until there is space', async t => {
  t.same(run(bench, opened, full, space).emitted, ['+store.full', '-store.full'])
})

t.test('a store that does not close in time is a failure', async t => {
  const r = run(bench, opened, stop, 10_000)
  t.equal((r.actor.getSnapshot().output as { code: string }).code, 'STORE_UNAVAILABLE')
})
