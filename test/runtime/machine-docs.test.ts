import { readFileSync } from 'node:fs'
import t from 'tap'
import { deviceMachine } from '../../machines/device.js'
import { diagramOf } from '../../src/runtime/machine-diagram.js'
import { machineDocs } from '../../src/runtime/machine-docs.js'

t.test('docs/machines.md is what the machines are', async t => {
  const written = readFileSync(new URL('../../../docs/machines.md', import.meta.url), 'utf8')
  t.ok(written === machineDocs(), 'stale: run npm run docs:machines')
})

t.test('a diagram names every state and every way between two', async t => {
  const text = diagramOf(deviceMachine)
  for (const state of Object.keys(deviceMachine.states)) t.match(text, `state "${state}" as device_${state}`)
  t.match(text, 'device_attached --> device_running : frames')
  t.match(text, 'device_faulty --> device_detached : after faultRetry')
  t.match(text, '[*] --> device_detached')
  t.match(text, 'device_stopped --> [*]')
})
