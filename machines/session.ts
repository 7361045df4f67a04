import { assign, emit, setup } from 'xstate'
import { alertBegins, alertEnds, type AlertEdge, type SecurityEdge } from './part.js'

/** What the request path tells of one SAE; sent only when something changes (a send costs microseconds). */
export type SessionReport =
  /** First request since it was quiet. */
  | { type: 'session.request' }
  /** Its token bucket or the fair share is used up. */
  | { type: 'session.throttle', retryAfterMs: number }
  /** It asked for what is not its own: another SAE's key ID, a forbidden pair. */
  | { type: 'session.violation', what: string }
  /** Its certificate was revoked, or it was removed. */
  | { type: 'session.revoke', reason: string }
  /** A good certificate was seen again after a revocation, for a registered SAE. */
  | { type: 'session.reinstate' }
export type SessionEvent = SessionReport
  | { type: 'session.suspend', by: string }
  | { type: 'session.resume' }

export interface SessionLimits {
  /** Without a request for this long the SAE is only known. */
  readonly idleMs: number
  /** This many violations before it is quiet for `idleMs` are an alert. */
  readonly violationsMax: number
}
export const sessionLimits: SessionLimits = { idleMs: 300_000, violationsMax: 10 }

export interface SessionInput { readonly sae: string, readonly limits?: SessionLimits }
export interface SessionContext { sae: string, limits: SessionLimits, retryAfterMs: number, violations: number, suspended: boolean }

/**
 * What this KME knows and allows of one SAE now. Small on purpose: 10,000 of them live side by side, started at the
 * first event that changes something, so it invokes nothing and has no supervisor.
 */
export const sessionMachine = setup({
  types: {} as { context: SessionContext, events: SessionEvent, input: SessionInput, emitted: AlertEdge | SecurityEdge },
  guards: {
    isSuspended: ({ context }) => context.suspended,
  },
  delays: {
    idle: ({ context }) => context.limits.idleMs,
    calm: ({ context }) => context.retryAfterMs,
  },
  actions: {
    keepRetry: assign({ retryAfterMs: ({ context, event }) => event.type === 'session.throttle' ? event.retryAfterMs : context.retryAfterMs }),
    countViolation: assign({ violations: ({ context }) => context.violations + 1 }),
    forgive: assign({ violations: 0 }),
    noteSuspended: assign({ suspended: true }),
    noteResumed: assign({ suspended: false }),
    tellViolation: emit(({ context: c, event }) => ({
      type: 'security', event: 'sae.violation', subject: c.sae, severity: 'medium', detail: event.type === 'session.violation' ? event.what : '',
    })),
    alertViolations: emit(({ context: c }) => c.violations >= c.limits.violationsMax
      ? alertBegins('sae.violations', c.sae, 'high', `${c.violations} requests for what is not its own`)
      : alertEnds('sae.violations', c.sae)),
    tellSuspended: emit(({ context: c, event }) => ({
      type: 'security', event: 'sae.suspended', subject: c.sae, severity: 'medium', detail: event.type === 'session.suspend' ? event.by : 'still suspended',
    })),
    tellRevoked: emit(({ context: c, event }) => ({
      type: 'security', event: 'sae.revoked', subject: c.sae, severity: 'medium', detail: event.type === 'session.revoke' ? event.reason : '',
    })),
  },
}).createMachine({
  id: 'session',
  context: ({ input }) => ({
    sae: input.sae, limits: input.limits ?? sessionLimits, retryAfterMs: 0, violations: 0, suspended: false,
  }),
  initial: 'known',
  on: {
    'session.suspend': '.suspended',
    'session.revoke': '.revoked',
    'session.violation': { actions: ['countViolation', 'tellViolation', 'alertViolations'] },
  },
  states: {
    known: {
      on: {
        'session.request': 'active',
        'session.throttle': { target: 'throttled', actions: 'keepRetry' },
      },
    },
    active: {
      // Each request that is told starts the time anew.
      after: { idle: { target: 'known', actions: ['forgive', 'alertViolations'] } },
      on: {
        'session.request': { target: 'active', reenter: true },
        'session.throttle': { target: 'throttled', actions: 'keepRetry' },
      },
    },
    throttled: {
      after: { calm: 'active' },
      on: { 'session.throttle': { target: 'throttled', reenter: true, actions: 'keepRetry' } },
    },
    suspended: {
      entry: ['noteSuspended', 'tellSuspended'],
      on: { 'session.suspend': {}, 'session.resume': { target: 'known', actions: 'noteResumed' } },
    },
    /** Its requests get 401. A resume does not help: it takes a good certificate, and no suspension besides. */
    revoked: {
      entry: 'tellRevoked',
      on: {
        'session.revoke': {},
        'session.suspend': { actions: 'noteSuspended' },
        'session.resume': { actions: 'noteResumed' },
        'session.reinstate': [{ guard: 'isSuspended', target: 'suspended' }, { target: 'known' }],
      },
    },
  },
})
