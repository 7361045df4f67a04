import t from 'tap'
import { adminMachine, restMachine } from '../../machines/server.js'
import { checkTable, run, type Bench } from './table.js'

const listening = { type: 'server.listening', where: '127.0.0.1:8443' }
const failed = { type: 'server.failed', code: 'PORT_TAKEN', reason: 'in use' }
const reloaded = { type: 'server.reloaded' }
const reloadFailed = { type: 'server.reloadFailed', reason: 'no such file' }
const drained = { type: 'server.drained' }
const reload = { type: 'server.reload' }
const stop = { type: 'stop' }
const dies = { type: 'xstate.error.actor.listener', error: new Error('boom') }

for (const machine of [restMachine, adminMachine]) {
  const bench: Bench = { machine, input: { server: machine.id }, effects: 'listener' }

  t.test(`${machine.id}: every state with every event`, async t => {
    checkTable(t, {
      ...bench,
      columns: { listening, failed, reloaded, reloadFailed, drained, reload, stop, dies, wait5s: 5_000, wait10s: 10_000 },
      paths: { starting: [], listening: [listening], reloading: [listening, reload], draining: [listening, stop], stopped: [stop], failed: [failed] },
      rows: {
        //          listening failed  reloaded  reloadFailed drained reload    stop     dies   5s      10s
        starting:  'listening failed  .         .            .       .         stopped  failed .       failed',
        listening: '.         failed  .         .            .       reloading draining failed .       .',
        reloading: '.         failed  listening listening    .       .         draining failed .       .',
        draining:  '.         stopped .         .            stopped .         .        failed stopped stopped',
        stopped:   '.         .       .         .            .       .         .        .      .       .',
        failed:    '.         .       .         .            .       .         .        .      .       .',
      },
    })
  })

  t.test(`${machine.id}: a failed reload keeps the old certificates and tells; a good one ends the alert`, async t => {
    const r = run(bench, listening, reload, reloadFailed, reload, reloaded)
    t.same(r.commands, ['server.reload', 'server.reload'])
    t.same(r.emitted, ['+server.reload', '-server.reload'])
    t.equal(run(bench, listening, reload, reload).commands.length, 2, 'files that change during a reload are read once more')
  })

  t.test(`${machine.id}: ends tell whether they were failures`, async t => {
    t.same(run(bench, failed).actor.getSnapshot().output, { failed: true, code: 'PORT_TAKEN', reason: 'in use' })
    t.same(run(bench, listening, stop, drained).actor.getSnapshot().output, { failed: false, code: '', reason: '' })
    t.equal((run(bench, 10_000).actor.getSnapshot().output as { failed: boolean }).failed, true)
  })
}
