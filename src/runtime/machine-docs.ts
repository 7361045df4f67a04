import { fromCallback, type AnyStateMachine } from 'xstate'
import { deviceMachine } from '../../machines/device.js'
import { linkMachine } from '../../machines/link.js'
import { peerMachine } from '../../machines/peer.js'
import { poolMachine } from '../../machines/pool.js'
import { layers, rootMachine } from '../../machines/root.js'
import { adminMachine, restMachine } from '../../machines/server.js'
import { sessionMachine } from '../../machines/session.js'
import { storeMachine } from '../../machines/store.js'
import { supervise } from '../../machines/supervise.js'
import { diagramOf, everywhere } from './machine-diagram.js'

interface Page { readonly title: string, readonly text: string, readonly machine: AnyStateMachine }

const anyPart = { id: 'part', layer: layers.rest, logic: fromCallback(() => {}), input: {}, vital: true }

const pages = (): readonly Page[] => [
  { title: 'Root', machine: rootMachine(storeMachine, [anyPart]), text: 'The outermost machine. The store comes first and its end ends the process; then come the parts in layers (devices, links, peers, pools, admin, REST), each under a supervisor. A stop goes through the layers backwards. `part` stands for each of them. A vital part that is given up ends the process with its own cause; any other is lost, which is an alert, until an operator starts it again.' },
  { title: 'Supervisor', machine: supervise('part', fromCallback(() => {})), text: 'One round each part: restart after a capped doubling delay, forgiveness after a stable time, giving up by finishing.' },
  { title: 'Store', machine: storeMachine, text: 'Never restarted in a running process. A store that another process still holds is tried again for a few seconds.' },
  { title: 'Device', machine: deviceMachine, text: 'One QKD device and its ring. Frames never pass through the machine.' },
  { title: 'Link', machine: linkMachine, text: 'Whether the bits of a QKD link may become key. A quarantine outlives a restart; only one for the error rate heals by itself, any other ends by an operator\'s release. After it the link is on probation.' },
  { title: 'Peer', machine: peerMachine, text: 'The connection to one neighbouring KME. One side calls, the other listens.' },
  { title: 'Pool', machine: poolMachine, text: 'The stock shared with one remote KME. Levels have a distance between them so that a stock at the edge does not flicker. A forecast warns before the low mark.' },
  { title: 'Session', machine: sessionMachine, text: 'What is known and allowed of one SAE now. Started at the first event that changes something.' },
  { title: 'REST server', machine: restMachine, text: 'Certificates are taken anew without losing a connection.' },
  { title: 'Admin server', machine: adminMachine, text: 'The same life as the REST server\'s.' },
]

const section = ({ title, text, machine }: Page): string => {
  const always = everywhere(machine)
  return [
    `## ${title}`, text, `\`\`\`mermaid\n${diagramOf(machine)}\n\`\`\``,
    ...(always.length > 0 ? [`From every state that does not say otherwise: ${always.join('; ')}.`] : []),
  ].join('\n\n')
}

/** The text of docs/machines.md. */
export const machineDocs = (): string => [
  '# Machines',
  'Made from the code by `npm run docs:machines`; a test fails when it is stale. An arrow\'s label is the event, in brackets the condition; `after` is a timer, `at once` a condition that is checked by itself.',
  ...pages().map(section),
].join('\n\n') + '\n'
