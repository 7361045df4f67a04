import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import {
  alertBegins, alertEnds, endedWell, failedBy, notProvided, type AlertEdge, type PartOutput, type SecurityEdge, type StopEvent,
} from './part.js'

/**
 * Why a link is in quarantine. `qber` heals by itself, `held-there` (the other KME's operator holds it) ends with that hold; the others, and
 * `operator` (held here), wait for an operator.
 */
export type QuarantineCause = 'qber' | 'mismatch' | 'replay' | 'other-bytes' | 'three-bad' | 'stuck' | 'operator' | 'held-there'

/** `admit` false: frames are drained and discarded, nothing is proposed. `cause` is kept durably until `admit` true. */
export type LinkCommand =
  | { type: 'link.admission', admit: false, cause: QuarantineCause }
  | { type: 'link.admission', admit: true }

export type LinkReport =
  | { type: 'link.device', up: boolean }
  | { type: 'link.peer', up: boolean }
  /** A block of this link was confirmed on both sides. */
  | { type: 'link.confirmed' }
  /** A block's confirmation tags differ: the two sides hold different bits. */
  | { type: 'link.mismatch' }
  /** Quantum bit error rate of the newest device block, 0 to 1. */
  | { type: 'link.qber', qber: number }
  /** The ring found what must not be: known frames under new names, other bytes under a known name, a stuck source. */
  | { type: 'link.integrity', cause: 'replay' | 'other-bytes' | 'three-bad' | 'stuck' }
  /** Frames come, but the pool is full: nothing is to be confirmed. Told again while it lasts. */
  | { type: 'link.full' }
  /** The other KME's operator holds the link, or has released it. */
  | { type: 'link.heldThere', held: boolean }
  /** The device took back a key block. `delivered`: bits of it may be in use already. */
  | { type: 'link.compromised', deviceBlock: string, delivered: boolean }
export type LinkEvent = LinkReport
  /** Operator: end the quarantine, on probation. */
  | { type: 'link.release' }
  /** Operator: hold the link. */
  | { type: 'link.hold' }
  | StopEvent

export interface LinkLimits {
  /** Above: degraded. Below `qberClear` again: up. Between the two nothing changes. */
  readonly qberWarn: number
  readonly qberClear: number
  /** Above: quarantined (ETSI GS QKD 005; 11 % is the theoretical bound of BB84, deployed systems stop earlier). */
  readonly qberAbort: number
  readonly mismatchesMax: number
  /** Confirmed blocks in a row that end a probation. */
  readonly probationBlocks: number
  /** A link that has both ends but confirms nothing for this long is an alert. */
  readonly silentMs: number
}
export const linkLimits: LinkLimits = {
  qberWarn: 0.05, qberClear: 0.045, qberAbort: 0.11, mismatchesMax: 3, probationBlocks: 3, silentMs: 120_000,
}

/** `quarantined`, `heldThere`: from before this start. */
export interface LinkInput { readonly link: string, readonly limits?: LinkLimits, readonly quarantined?: QuarantineCause, readonly heldThere?: boolean }
export interface LinkContext {
  link: string, limits: LinkLimits, device: boolean, peer: boolean, qber: number | null
  mismatches: number, confirmed: number, cause: QuarantineCause | null, heldThere: boolean, output: PartOutput
}

/** Where blocks are being made: so many mismatches in a row, and the link is not trusted any more. */
const thirdMismatch = [
  { guard: 'oneTooMany', target: 'quarantined', actions: ['countMismatch', { type: 'blame', params: 'mismatch' }] },
  { actions: 'countMismatch' },
] as const

/** Life of one QKD link: whether its bits may become key. */
export const linkMachine = setup({
  types: {} as {
    context: LinkContext, events: LinkEvent, input: LinkInput, output: PartOutput, emitted: AlertEdge | SecurityEdge
  },
  actors: { effects: fromCallback<LinkCommand, { link: string }>(notProvided('link effects')) },
  guards: {
    held: ({ context }) => context.cause !== null,
    bothUp: ({ context }) => context.device && context.peer,
    notBothUp: ({ context }) => !(context.device && context.peer),
    aborts: ({ context, event }) => event.type === 'link.qber' && event.qber > context.limits.qberAbort,
    warns: ({ context, event }) => event.type === 'link.qber' && event.qber > context.limits.qberWarn,
    clears: ({ context, event }) => event.type === 'link.qber' && event.qber < context.limits.qberClear,
    healsItself: ({ context, event }) => context.cause === 'qber' && event.type === 'link.qber' && event.qber < context.limits.qberClear,
    holdsThere: ({ event }) => event.type === 'link.heldThere' && event.held,
    stillHeldThere: ({ context }) => context.heldThere && context.cause !== 'held-there',
    onlyHeldThere: ({ context }) => context.cause === 'held-there',
    endsHold: ({ context, event }) => context.cause === 'held-there' && event.type === 'link.heldThere' && !event.held,
    oneTooMany: ({ context }) => context.mismatches + 1 >= context.limits.mismatchesMax,
    lastOfProbation: ({ context }) => context.confirmed + 1 >= context.limits.probationBlocks,
  },
  delays: { silent: ({ context }) => context.limits.silentMs },
  actions: {
    keepEnds: assign({
      device: ({ context, event }) => event.type === 'link.device' ? event.up : context.device,
      peer: ({ context, event }) => event.type === 'link.peer' ? event.up : context.peer,
    }),
    keepQber: assign({ qber: ({ context, event }) => event.type === 'link.qber' ? event.qber : context.qber }),
    countMismatch: assign({ mismatches: ({ context }) => context.mismatches + 1, confirmed: 0 }),
    countConfirmed: assign({ mismatches: 0, confirmed: ({ context }) => context.confirmed + 1 }),
    keepHeldThere: assign({ heldThere: ({ context, event }) => event.type === 'link.heldThere' ? event.held : context.heldThere }),
    blame: assign({ cause: (_, cause: QuarantineCause) => cause }),
    blameEvent: assign({ cause: ({ context, event }) => event.type === 'link.integrity' ? event.cause : context.cause }),
    clearBlame: assign({ cause: null, mismatches: 0, confirmed: 0 }),
    admit: sendTo('effects', { type: 'link.admission', admit: true }),
    hold: sendTo('effects', ({ context }) => ({ type: 'link.admission', admit: false, cause: context.cause ?? 'operator' })),
    tellQuarantine: emit(({ context: c }) => ({
      type: 'security', event: 'link.quarantined', subject: c.link, severity: 'critical', detail: `cause: ${c.cause ?? ''}`,
    })),
    alertQuarantine: emit(({ context: c }) => alertBegins('link.quarantined', c.link, 'critical',
      `link in quarantine (${c.cause ?? ''}): no key is taken from it${c.cause === 'qber' ? ' until its error rate falls' : c.cause === 'held-there' ? ' until the operator of the other KME releases it' : ' until an operator releases it'}`)),
    endQuarantine: emit(({ context: c }) => alertEnds('link.quarantined', c.link)),
    alertDegraded: emit(({ context: c }) => alertBegins('link.degraded', c.link, 'medium', `error rate ${((c.qber ?? 0) * 100).toFixed(2)} % is above the warning level`)),
    endDegraded: emit(({ context: c }) => alertEnds('link.degraded', c.link)),
    alertSilent: emit(({ context: c }) => alertBegins('link.silent', c.link, 'medium', 'device and peer are up, but no block gets confirmed')),
    alertCompromised: emit(({ context: c, event: e }) => alertBegins('device.compromised', c.link, e.type === 'link.compromised' && e.delivered ? 'critical' : 'high',
      e.type === 'link.compromised' ? `the device took back key block ${e.deviceBlock}: ${e.delivered ? 'keys made of it were given out; renew them' : 'nothing of it was given out'}` : '')),
    endCompromised: emit(({ context: c }) => alertEnds('device.compromised', c.link)),
    endSilent: emit(({ context: c }) => alertEnds('link.silent', c.link)),
    alertDown: emit(({ context: c }) => alertBegins('link.down', c.link, 'medium', c.device ? 'the peer is not reachable' : 'the device gives no key')),
    endDown: emit(({ context: c }) => alertEnds('link.down', c.link)),
  },
}).createMachine({
  id: 'link',
  context: ({ input }) => ({
    link: input.link, limits: input.limits ?? linkLimits, device: false, peer: false, qber: null,
    mismatches: 0, confirmed: 0, cause: input.quarantined ?? (input.heldThere === true ? 'held-there' : null), heldThere: input.heldThere ?? false, output: endedWell,
  }),
  invoke: {
    id: 'effects', src: 'effects', input: ({ context }) => ({ link: context.link }),
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error) }) },
  },
  initial: 'deciding',
  on: {
    stop: '.stopped',
    'link.device': { actions: 'keepEnds' },
    'link.peer': { actions: 'keepEnds' },
    'link.qber': { actions: 'keepQber' },
    'link.integrity': { target: '.quarantined', actions: 'blameEvent' },
    'link.hold': { target: '.quarantined', actions: { type: 'blame', params: 'operator' } },
    'link.heldThere': [{ guard: 'holdsThere', target: '.quarantined', actions: ['keepHeldThere', { type: 'blame', params: 'held-there' }] }, { actions: 'keepHeldThere' }],
    'link.compromised': { actions: 'alertCompromised' },
    // An operator has seen it.
    'link.release': { actions: 'endCompromised' },
  },
  states: {
    /** A quarantine outlives a restart. Never observed: left at once. */
    deciding: { always: [{ guard: 'held', target: 'quarantined' }, { target: 'down' }] },
    down: {
      always: { guard: 'bothUp', target: 'synchronising' },
      exit: 'endDown',
    },
    /** Both ends are there; the first confirmed block will show that they hold the same bits. */
    synchronising: {
      always: { guard: 'notBothUp', target: 'down' },
      exit: 'endSilent',
      after: { silent: { actions: 'alertSilent' } },
      on: {
        'link.qber': [
          { guard: 'aborts', target: 'quarantined', actions: ['keepQber', { type: 'blame', params: 'qber' }] },
          { actions: 'keepQber' },
        ],
        'link.confirmed': { target: 'up', actions: 'countConfirmed' },
        // Stock of this link is there, and no more is wanted: waiting for a block would take until it is used.
        'link.full': 'up',
        'link.mismatch': thirdMismatch,
      },
    },
    up: {
      always: { guard: 'notBothUp', target: 'down', actions: 'alertDown' },
      on: {
        'link.qber': [
          { guard: 'aborts', target: 'quarantined', actions: ['keepQber', { type: 'blame', params: 'qber' }] },
          { guard: 'warns', target: 'degraded', actions: 'keepQber' },
          { actions: 'keepQber' },
        ],
        'link.confirmed': { actions: 'countConfirmed' },
        'link.mismatch': thirdMismatch,
      },
    },
    degraded: {
      entry: 'alertDegraded',
      exit: 'endDegraded',
      always: { guard: 'notBothUp', target: 'down', actions: 'alertDown' },
      on: {
        'link.qber': [
          { guard: 'aborts', target: 'quarantined', actions: ['keepQber', { type: 'blame', params: 'qber' }] },
          { guard: 'clears', target: 'up', actions: 'keepQber' },
          { actions: 'keepQber' },
        ],
        'link.confirmed': { actions: 'countConfirmed' },
        'link.mismatch': thirdMismatch,
      },
    },
    quarantined: {
      entry: ['hold', 'tellQuarantine', 'alertQuarantine'],
      exit: 'endQuarantine',
      on: {
        'link.qber': [{ guard: 'healsItself', target: 'recovering', actions: 'keepQber' }, { actions: 'keepQber' }],
        'link.release': [
          { guard: 'onlyHeldThere', actions: 'endCompromised' }, // Who holds it releases it.
          { guard: 'stillHeldThere', actions: ['endCompromised', { type: 'blame', params: 'held-there' }, 'hold', 'alertQuarantine'] },
          { target: 'recovering', actions: 'endCompromised' },
        ],
        'link.heldThere': [{ guard: 'endsHold', target: 'recovering', actions: 'keepHeldThere' }, { actions: 'keepHeldThere' }],
        // The first cause stays: a link that was caught replaying must not heal because its error rate fell.
        'link.integrity': { actions: ['blameEvent', 'hold'] },
        'link.hold': { actions: [{ type: 'blame', params: 'operator' }, 'hold', 'alertQuarantine'] },
      },
    },
    /** On probation: blocks are made again, and the first doubt ends it. */
    recovering: {
      entry: ['clearBlame', 'admit'],
      on: {
        'link.qber': [
          { guard: 'warns', target: 'quarantined', actions: ['keepQber', { type: 'blame', params: 'qber' }] },
          { actions: 'keepQber' },
        ],
        'link.confirmed': [
          { guard: 'lastOfProbation', target: 'up', actions: 'countConfirmed' },
          { actions: 'countConfirmed' },
        ],
        'link.mismatch': { target: 'quarantined', actions: ['countMismatch', { type: 'blame', params: 'mismatch' }] },
      },
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})
