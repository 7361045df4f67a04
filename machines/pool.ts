import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import { measure, stillWater, timeToEmptyMs, type Flow } from './forecast.js'
import {
  alertBegins, alertEnds, endedWell, failedBy, notProvided, type AlertEdge, type PartOutput, type SecurityEdge, type StopEvent,
} from './part.js'

export type ReplenishReason = 'low' | 'forecast' | 'manual'

/** `service` false: the engine answers `SUSPENDED` and cuts nothing. `replenish`: ask for grants and propose now. */
export type PoolCommand =
  | { type: 'pool.service', on: true }
  | { type: 'pool.service', on: false, reason: string }
  | { type: 'pool.replenish', reason: ReplenishReason }
  /** Clean stop: no more leases, `bye` to the peer, wait for its acknowledgement; answered with `closed`. */
  | { type: 'pool.close' }

export type PoolReport =
  /** The hello of both sides is processed: the lanes have a start. */
  | { type: 'pool.hello' }
  | { type: 'pool.peer', present: boolean }
  /** Measured by the runtime, about once a second. Bits that SAEs can still be given, and what came and went since. */
  | { type: 'pool.level', stockBits: number, suppliedBits: number, consumedBits: number, intervalMs: number }
  /** All stock is void (a copied store, a new store ID, a retired peer); a hello starts it again. */
  | { type: 'pool.voided', reason: string }
  /** Something that must not be was seen, such as overlapping claims. Only an operator ends it. */
  | { type: 'pool.suspend', reason: string }
  /** An operator here or at the other KME holds the pool ('' : nobody does any more). The engine refuses by itself. */
  | { type: 'pool.held', reason: string }
  /** The engine could not replenish (no peer, nothing to grant). */
  | { type: 'pool.replenishFailed', reason: string }
  /** The bye is acknowledged, or cannot be: nothing is spent any more. */
  | { type: 'pool.closed' }
export type PoolEvent = PoolReport
  | { type: 'pool.resume' }
  | { type: 'pool.replenish' }
  | StopEvent

/** Levels in bits, each pair with a distance between, so that a level at the edge does not flicker. */
export interface PoolLimits {
  /** At or above: ready. */
  readonly readyBits: number
  /** Below: low. Less than `readyBits`. */
  readonly lowBits: number
  /** Below: exhausted, at the least one largest key. */
  readonly exhaustedBits: number
  /** An exhausted pool fills again from here on. More than `exhaustedBits`. */
  readonly resumeBits: number
  /** Alert when it will be empty within this time; over at twice the time. */
  readonly forecastMs: number
  /** Time constant of the rates. */
  readonly tauMs: number
  /** How long a bye may wait for its acknowledgement. */
  readonly closeMs: number
}
export const poolLimits: PoolLimits = {
  readyBits: 2_097_152, lowBits: 1_048_576, exhaustedBits: 8_192, resumeBits: 65_536, forecastMs: 300_000, tauMs: 60_000, closeMs: 5_000,
}

/** `suspended`, `held`: the reason of a suspension, of a hold, that began before this start; both outlive the process. */
export interface PoolInput { readonly pool: string, readonly limits?: PoolLimits, readonly suspended?: string, readonly held?: string }
export interface PoolContext {
  pool: string, limits: PoolLimits, stockBits: number, flow: Flow, peerPresent: boolean, greeted: boolean
  forecast: boolean, replenishments: number, replenishFailures: number, reason: string, held: string, output: PartOutput
}

const toEmptyMs = (c: PoolContext): number => timeToEmptyMs(c.flow, c.stockBits)

/** A failed replenishment is an alert only where stock is short. */
const failedInNeed = { actions: ['keepReason', 'countFailure', 'alertReplenish'] } as const

/**
 * Life of the stock shared with one remote KME. A `level` is taken into the context first; the state then follows from
 * it by `always`, so that every way into a state looks at the stock as it is.
 */
export const poolMachine = setup({
  types: {} as {
    context: PoolContext, events: PoolEvent, input: PoolInput, output: PartOutput, emitted: AlertEdge | SecurityEdge
  },
  actors: { effects: fromCallback<PoolCommand, { pool: string }>(notProvided('pool effects')) },
  guards: {
    full: ({ context: c }) => c.stockBits >= c.limits.readyBits,
    falling: ({ context: c }) => c.stockBits < c.limits.lowBits,
    drained: ({ context: c }) => c.stockBits < c.limits.exhaustedBits,
    refilled: ({ context: c }) => c.stockBits >= c.limits.resumeBits,
    doubted: ({ context: c }) => c.reason !== '',
    held: ({ context: c }) => c.held !== '',
    holds: ({ event }) => event.type === 'pool.held' && event.reason !== '',
    notGreeted: ({ context: c }) => !c.greeted,
    runsDry: ({ context: c }) => !c.forecast && toEmptyMs(c) < c.limits.forecastMs,
    lasts: ({ context: c }) => c.forecast && !(toEmptyMs(c) < 2 * c.limits.forecastMs),
  },
  delays: { close: ({ context }) => context.limits.closeMs },
  actions: {
    close: sendTo('effects', { type: 'pool.close' }),
    keepLevel: assign(({ context: c, event }) => event.type === 'pool.level'
      ? { stockBits: event.stockBits, flow: measure(c.flow, event.suppliedBits, event.consumedBits, event.intervalMs, c.limits.tauMs) }
      : {}),
    keepPeer: assign({ peerPresent: ({ context, event }) => event.type === 'pool.peer' ? event.present : context.peerPresent }),
    greet: assign({ greeted: true }),
    forget: assign({ greeted: false, stockBits: 0, flow: stillWater }),
    keepReason: assign({ reason: ({ context, event }) => 'reason' in event ? event.reason : context.reason }),
    keepHold: assign({ held: ({ context, event }) => event.type === 'pool.held' ? event.reason : context.held }),
    noteForecast: assign({ forecast: (_, on: boolean) => on }),
    countReplenish: assign({ replenishments: ({ context }) => context.replenishments + 1 }),
    countFailure: assign({ replenishFailures: ({ context }) => context.replenishFailures + 1 }),
    replenish: sendTo('effects', (_, reason: ReplenishReason) => ({ type: 'pool.replenish', reason })),
    serve: sendTo('effects', { type: 'pool.service', on: true }),
    refuse: sendTo('effects', ({ context }) => ({ type: 'pool.service', on: false, reason: context.reason })),
    alertForecast: emit(({ context: c }) => alertBegins('pool.forecast', c.pool, 'medium', `at this rate the pool is empty in ${Math.round(toEmptyMs(c) / 1_000)} s`)),
    endForecast: emit(({ context: c }) => alertEnds('pool.forecast', c.pool)),
    alertLow: emit(({ context: c }) => alertBegins('pool.low', c.pool, 'medium', `${Math.floor(c.stockBits / 8)} bytes left, the low mark is ${Math.floor(c.limits.lowBits / 8)}`)),
    endLow: emit(({ context: c }) => alertEnds('pool.low', c.pool)),
    alertExhausted: emit(({ context: c }) => alertBegins('pool.exhausted', c.pool, 'high', 'no key is left: requests get 503 until the pool fills again')),
    endExhausted: emit(({ context: c }) => alertEnds('pool.exhausted', c.pool)),
    alertSuspended: emit(({ context: c }) => alertBegins('pool.suspended', c.pool, 'critical', `suspended until an operator resumes it: ${c.reason}`)),
    endSuspended: emit(({ context: c }) => alertEnds('pool.suspended', c.pool)),
    alertHeld: emit(({ context: c }) => alertBegins('pool.held', c.pool, 'high', `an operator holds it, no key is served: ${c.held}`)),
    endHeld: emit(({ context: c }) => alertEnds('pool.held', c.pool)),
    alertReplenish: emit(({ context: c }) => alertBegins('pool.replenish', c.pool, 'low', `could not be replenished: ${c.reason}`)),
    endReplenish: emit(({ context: c }) => alertEnds('pool.replenish', c.pool)),
    tellSuspended: emit(({ context: c }) => ({ type: 'security', event: 'pool.suspended', subject: c.pool, severity: 'critical', detail: c.reason })),
    tellVoided: emit(({ context: c }) => ({ type: 'security', event: 'pool.voided', subject: c.pool, severity: 'high', detail: c.reason })),
  },
}).createMachine({
  id: 'pool',
  context: ({ input }) => ({
    pool: input.pool, limits: input.limits ?? poolLimits, stockBits: 0, flow: stillWater, peerPresent: false, greeted: false,
    forecast: false, replenishments: 0, replenishFailures: 0, reason: input.suspended ?? '', held: input.held ?? '', output: endedWell,
  }),
  invoke: {
    id: 'effects', src: 'effects', input: ({ context }) => ({ pool: context.pool }),
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error) }) },
  },
  initial: 'deciding',
  on: {
    stop: '.closing',
    'pool.peer': { actions: 'keepPeer' },
    'pool.hello': { actions: 'greet' },
    'pool.level': { actions: 'keepLevel' },
    'pool.voided': { target: '.waitingForHello', actions: ['keepReason', 'forget', 'tellVoided'] },
    'pool.suspend': { target: '.suspended', actions: 'keepReason' },
    'pool.held': [{ guard: 'holds', target: '.held', actions: 'keepHold' }, { actions: 'keepHold' }],
    'pool.replenish': { actions: ['countReplenish', { type: 'replenish', params: 'manual' }] },
    'pool.replenishFailed': { actions: ['keepReason', 'countFailure'] },
  },
  states: {
    /** Never observed: left at once. */
    deciding: { always: [{ guard: 'doubted', target: 'suspended' }, { guard: 'held', target: 'held' }, { target: 'waitingForHello' }] },
    waitingForHello: {
      on: {
        'pool.hello': { target: 'empty', actions: 'greet' },
        'pool.level': {}, // Before the hello nobody knows which of the stock still counts.
        'pool.replenish': {},
      },
    },
    /** Nothing has come yet since the hello. */
    empty: { always: { guard: 'refilled', target: 'filling' } },
    filling: {
      always: [{ guard: 'full', target: 'ready' }, { guard: 'drained', target: 'exhausted' }],
    },
    ready: {
      always: [
        { guard: 'drained', target: 'exhausted' },
        { guard: 'falling', target: 'low' },
        { guard: 'runsDry', actions: [{ type: 'noteForecast', params: true }, 'alertForecast', 'countReplenish', { type: 'replenish', params: 'forecast' }] },
        { guard: 'lasts', actions: [{ type: 'noteForecast', params: false }, 'endForecast'] },
      ],
    },
    low: {
      entry: ['alertLow', 'countReplenish', { type: 'replenish', params: 'low' }],
      exit: ['endLow', 'endReplenish'],
      on: { 'pool.replenishFailed': failedInNeed },
      always: [{ guard: 'full', target: 'ready' }, { guard: 'drained', target: 'exhausted' }],
    },
    exhausted: {
      entry: ['alertExhausted', 'countReplenish', { type: 'replenish', params: 'low' }],
      exit: ['endExhausted', 'endReplenish'],
      on: { 'pool.replenishFailed': failedInNeed },
      always: { guard: 'refilled', target: 'filling' },
    },
    suspended: {
      entry: ['refuse', 'tellSuspended', 'alertSuspended'],
      exit: ['serve', 'endSuspended'],
      on: {
        'pool.resume': 'assessing',
        'pool.replenish': {},
        'pool.held': { actions: 'keepHold' }, // After the doubt, if it is still held then.
        'pool.suspend': { actions: ['keepReason', 'alertSuspended'] }, // Already held; the newest reason shows.
        // A void of stock does not answer the doubt: it stays suspended, and greets anew after it.
        'pool.voided': { actions: ['forget', 'tellVoided'] },
      },
    },
    /** Stock comes and waits; the engine serves nothing. */
    held: {
      entry: 'alertHeld',
      exit: 'endHeld',
      on: {
        'pool.held': [{ guard: 'holds', actions: ['keepHold', 'alertHeld'] }, { target: 'assessing', actions: 'keepHold' }],
        'pool.replenish': {},
        'pool.voided': { actions: ['forget', 'tellVoided'] },
      },
    },
    /** After a suspension or a hold: back to where the stock says. Never observed: left at once. */
    assessing: {
      always: [
        { guard: 'held', target: 'held' },
        { guard: 'notGreeted', target: 'waitingForHello' },
        { guard: 'full', target: 'ready' },
        { guard: 'refilled', target: 'filling' },
        { target: 'exhausted' },
      ],
    },
    closing: {
      entry: 'close',
      after: { close: 'stopped' },
      on: { stop: {}, 'pool.closed': 'stopped', 'pool.voided': {}, 'pool.suspend': {}, 'pool.held': { actions: 'keepHold' }, 'pool.replenish': {} },
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})
