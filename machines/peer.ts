import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import {
  alertBegins, alertEnds, backoffMs, endedWell, failedBy, notProvided,
  type AlertEdge, type PartOutput, type StopEvent,
} from './part.js'

/** `dial` answers with `opened` or `closed`; `hangUp` ends whatever is open, and is harmless when nothing is. */
export type PeerCommand = { type: 'peer.dial' } | { type: 'peer.hangUp', reason: string }

export type PeerReport =
  /** A connection stands: ours was accepted, or the peer has called. TLS has verified its certificate. */
  | { type: 'peer.opened' }
  /** Hello is exchanged: identity, version and both columns are known. */
  | { type: 'peer.greeted' }
  /** What was unacknowledged is on its way again: the channel serves the pool engine. */
  | { type: 'peer.ready' }
  /** `refused`: certificate, identity, version or tag were wrong, so trying again at once is of no use. */
  | { type: 'peer.closed', reason: string, refused: boolean }
export type PeerEvent = PeerReport
  /** Operator or policy: hang up and stay apart; and back. */
  | { type: 'peer.disable' } | { type: 'peer.enable' }
  | StopEvent

export interface PeerLimits {
  readonly connectMs: number
  readonly authenticateMs: number
  readonly resynchroniseMs: number
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** Ready for this long: earlier failures are forgotten. */
  readonly stableMs: number
}
export const peerLimits: PeerLimits = {
  connectMs: 10_000, authenticateMs: 10_000, resynchroniseMs: 30_000, retryMinMs: 500, retryMaxMs: 30_000, stableMs: 30_000,
}

/**
 * `dials`: this side has an address to call. Where both have one, the side that is to give way starts with a `graceMs`, so
 * that the two do not call each other at once; a call of the peer is taken at any time.
 */
export interface PeerInput { readonly peer: string, readonly dials: boolean, readonly graceMs?: number, readonly limits?: PeerLimits }
export interface PeerContext {
  peer: string, dials: boolean, graceMs: number, enabled: boolean, limits: PeerLimits
  attempt: number, refused: boolean, connections: number, reason: string, output: PartOutput
}

/**
 * The delay before the next call: doubling from `retryMinMs`, at once `retryMaxMs` after a refusal. The runtime
 * replaces the delay `retry` by one with jitter of its own chance.
 */
export const peerRetryMs = (c: PeerContext): number => c.refused
  ? c.limits.retryMaxMs
  : backoffMs({ minMs: c.limits.retryMinMs, maxMs: c.limits.retryMaxMs }, c.attempt)

/** Life of the connection to one neighbouring KME. */
export const peerMachine = setup({
  types: {} as {
    context: PeerContext, events: PeerEvent, input: PeerInput, output: PartOutput, emitted: AlertEdge
  },
  actors: { channel: fromCallback<PeerCommand, { peer: string }>(notProvided('peer channel')) },
  guards: {
    calls: ({ context }) => context.dials && context.enabled,
    callsAtOnce: ({ context }) => context.dials && context.enabled && context.graceMs === 0,
    enabled: ({ context }) => context.enabled,
  },
  delays: {
    connect: ({ context }) => context.limits.connectMs,
    authenticate: ({ context }) => context.limits.authenticateMs,
    resynchronise: ({ context }) => context.limits.resynchroniseMs,
    stable: ({ context }) => context.limits.stableMs,
    retry: ({ context }) => peerRetryMs(context),
    grace: ({ context }) => context.graceMs,
  },
  actions: {
    dial: sendTo('channel', { type: 'peer.dial' }),
    hangUp: sendTo('channel', (_, reason: string) => ({ type: 'peer.hangUp', reason })),
    keepEnd: assign({
      reason: ({ context, event }) => event.type === 'peer.closed' ? event.reason : context.reason,
      refused: ({ event }) => event.type === 'peer.closed' && event.refused,
    }),
    noteTimeout: assign({ reason: (_, what: string) => `timeout while ${what}`, refused: false }),
    countAttempt: assign({ attempt: ({ context }) => context.attempt + 1 }),
    countConnection: assign({ connections: ({ context }) => context.connections + 1 }),
    forgive: assign({ attempt: 0 }),
    enable: assign({ enabled: true, attempt: 0, refused: false }),
    disable: assign({ enabled: false }),
    alertDown: emit(({ context: c }) => c.refused
      ? alertBegins('peer.refused', c.peer, 'high', `the connection was refused: ${c.reason}`)
      : alertBegins('peer.down', c.peer, 'medium', `no connection: ${c.reason}`)),
    endDown: emit(({ context: c }) => alertEnds('peer.down', c.peer)),
    endRefused: emit(({ context: c }) => alertEnds('peer.refused', c.peer)),
  },
}).createMachine({
  id: 'peer',
  context: ({ input }) => ({
    peer: input.peer, dials: input.dials, graceMs: input.graceMs ?? 0, enabled: true, limits: input.limits ?? peerLimits,
    attempt: 0, refused: false, connections: 0, reason: '', output: endedWell,
  }),
  invoke: {
    id: 'channel', src: 'channel', input: ({ context }) => ({ peer: context.peer }),
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error) }) },
  },
  initial: 'disconnected',
  on: {
    stop: '.stopped',
    'peer.disable': { target: '.disconnected', actions: ['disable', { type: 'hangUp', params: 'disabled by an operator' }, 'endDown', 'endRefused'] },
    'peer.enable': { actions: 'enable' },
    'peer.closed': { target: '.backingOff', actions: 'keepEnd' },
  },
  states: {
    /** Nothing is under way: a side that only listens waits here for the peer's call. */
    disconnected: {
      always: { guard: 'callsAtOnce', target: 'connecting' },
      after: { grace: { guard: 'calls', target: 'connecting' } },
      on: {
        'peer.opened': [
          { guard: 'enabled', target: 'authenticating' },
          { actions: { type: 'hangUp', params: 'disabled by an operator' } },
        ],
        'peer.closed': {}, // Of a connection that we ended ourselves.
      },
    },
    connecting: {
      entry: 'dial',
      after: { connect: { target: 'backingOff', actions: { type: 'noteTimeout', params: 'connecting' } } },
      on: { 'peer.opened': 'authenticating' },
    },
    authenticating: {
      entry: 'countConnection',
      after: { authenticate: { target: 'backingOff', actions: { type: 'noteTimeout', params: 'authenticating' } } },
      on: { 'peer.greeted': 'resynchronising' },
    },
    resynchronising: {
      after: { resynchronise: { target: 'backingOff', actions: { type: 'noteTimeout', params: 'resynchronising' } } },
      // The peer called again: the newer connection counts, its hello follows.
      on: { 'peer.ready': 'ready', 'peer.opened': 'authenticating' },
    },
    ready: {
      entry: ['endDown', 'endRefused'],
      after: { stable: { actions: 'forgive' } },
      on: { 'peer.opened': 'authenticating' },
    },
    backingOff: {
      entry: [{ type: 'hangUp', params: 'backing off' }, 'countAttempt', 'alertDown'],
      after: { retry: 'disconnected' },
      on: {
        'peer.opened': 'authenticating', // The peer's call needs no patience of ours.
        'peer.closed': {},
        'peer.enable': { target: 'disconnected', actions: 'enable' },
      },
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})
