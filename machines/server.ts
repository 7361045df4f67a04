import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import { alertBegins, alertEnds, endedWell, failedBy, notProvided, type AlertEdge, type PartOutput, type StopEvent } from './part.js'

/** `reload`: take new certificates and CRLs without losing a connection. `drain`: no new requests, finish those under way. */
export type ServerCommand = { type: 'server.reload' } | { type: 'server.drain' }

export type ServerReport =
  | { type: 'server.listening', where: string }
  /** It cannot listen, or does not any more. `code` is a KmeErrorCode such as PORT_TAKEN. */
  | { type: 'server.failed', code: string, reason: string }
  | { type: 'server.reloaded' }
  | { type: 'server.reloadFailed', reason: string }
  | { type: 'server.drained' }
export type ServerEvent = ServerReport
  | { type: 'server.reload' }
  | StopEvent

export interface ServerLimits {
  readonly startMs: number
  /** Requests still under way after this are cut off. */
  readonly drainMs: number
}
export const serverLimits: ServerLimits = { startMs: 10_000, drainMs: 5_000 }

export interface ServerInput { readonly server: string, readonly limits?: ServerLimits }
interface ServerContext { server: string, limits: ServerLimits, where: string, reason: string, reloads: number, output: PartOutput }

const failure = ({ event }: { event: ServerEvent }): PartOutput => event.type === 'server.failed'
  ? { failed: true, code: event.code, reason: event.reason }
  : { failed: true, code: 'BUSY', reason: 'did not start listening in time' }

/** Life of a server with certificates: the REST server and the admin server are one each. */
const serverMachine = (id: 'rest' | 'admin') => setup({
  types: {} as { context: ServerContext, events: ServerEvent, input: ServerInput, output: PartOutput, emitted: AlertEdge },
  actors: { listener: fromCallback<ServerCommand, { server: string }>(notProvided('listener')) },
  delays: { start: ({ context }) => context.limits.startMs, drain: ({ context }) => context.limits.drainMs },
  actions: {
    reload: sendTo('listener', { type: 'server.reload' }),
    drain: sendTo('listener', { type: 'server.drain' }),
    keepWhere: assign({ where: ({ context, event }) => event.type === 'server.listening' ? event.where : context.where }),
    keepReason: assign({ reason: ({ context, event }) => 'reason' in event ? event.reason : context.reason }),
    keepFailure: assign({ output: failure }),
    countReload: assign({ reloads: ({ context }) => context.reloads + 1 }),
    alertReload: emit(({ context: c }) => alertBegins('server.reload', c.server, 'high', `new certificates were not taken, the old ones stay: ${c.reason}`)),
    endReload: emit(({ context: c }) => alertEnds('server.reload', c.server)),
  },
}).createMachine({
  id,
  context: ({ input }) => ({
    server: input.server, limits: input.limits ?? serverLimits, where: '', reason: '', reloads: 0, output: endedWell,
  }),
  invoke: {
    id: 'listener', src: 'listener', input: ({ context }) => ({ server: context.server }),
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error) }) },
  },
  initial: 'starting',
  on: { 'server.failed': { target: '.failed', actions: 'keepFailure' } },
  states: {
    starting: {
      after: { start: { target: 'failed', actions: 'keepFailure' } },
      on: { 'server.listening': { target: 'listening', actions: 'keepWhere' }, stop: 'stopped' },
    },
    listening: {
      on: {
        'server.listening': { actions: 'keepWhere' },
        'server.reload': 'reloading',
        stop: 'draining',
      },
    },
    /** Still serving, with the old certificates. */
    reloading: {
      entry: 'reload',
      on: {
        'server.listening': { actions: 'keepWhere' },
        'server.reloaded': { target: 'listening', actions: ['countReload', 'endReload'] },
        'server.reloadFailed': { target: 'listening', actions: ['keepReason', 'alertReload'] },
        // Files changed again meanwhile: read them once more.
        'server.reload': { target: 'reloading', reenter: true },
        stop: 'draining',
      },
    },
    draining: {
      entry: 'drain',
      after: { drain: 'stopped' },
      on: { 'server.drained': 'stopped', 'server.failed': 'stopped' },
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})

export const restMachine = serverMachine('rest')
export const adminMachine = serverMachine('admin')
