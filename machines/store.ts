import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import { alertBegins, alertEnds, endedWell, failedBy, notProvided, type AlertEdge, type PartOutput, type StopEvent } from './part.js'

/** `open` answers with `opened` or `failed`; `close` flushes, closes and answers with `closed`. */
export type StoreCommand = { type: 'store.open' } | { type: 'store.close' }

export type StoreReport =
  | { type: 'store.opened' }
  /** `code` is a KmeErrorCode (STORE_LOCKED, STORE_CORRUPT, MASTER_KEY_WRONG, …). */
  | { type: 'store.failed', code: string, reason: string }
  /** Nothing more can be written; and: it can again. */
  | { type: 'store.full' } | { type: 'store.space' }
  | { type: 'store.closed' }
export type StoreEvent = StoreReport | StopEvent

export interface StoreLimits {
  /** A store that another process holds (one that is just stopping) is tried again this often, at this distance. */
  readonly lockedTries: number
  readonly lockedRetryMs: number
  readonly closeMs: number
}
export const storeLimits: StoreLimits = { lockedTries: 10, lockedRetryMs: 500, closeMs: 10_000 }

export interface StoreInput { readonly limits?: StoreLimits }
interface StoreContext { limits: StoreLimits, tries: number, output: PartOutput }

/** Life of the store. It is never restarted in a running process: its failure ends the process (design 8). */
export const storeMachine = setup({
  types: {} as { context: StoreContext, events: StoreEvent, input: StoreInput, output: PartOutput, emitted: AlertEdge },
  actors: { effects: fromCallback<StoreCommand>(notProvided('store effects')) },
  guards: {
    lockedForNow: ({ context, event }) =>
      event.type === 'store.failed' && event.code === 'STORE_LOCKED' && context.tries < context.limits.lockedTries,
  },
  delays: { retry: ({ context }) => context.limits.lockedRetryMs, close: ({ context }) => context.limits.closeMs },
  actions: {
    open: sendTo('effects', { type: 'store.open' }),
    close: sendTo('effects', { type: 'store.close' }),
    countTry: assign({ tries: ({ context }) => context.tries + 1 }),
    keepFailure: assign({
      output: ({ context, event }) => event.type === 'store.failed' ? { failed: true, code: event.code, reason: event.reason } : context.output,
    }),
    keepTimeout: assign({ output: (): PartOutput => ({ failed: true, code: 'STORE_UNAVAILABLE', reason: 'the store did not close in time: what was not flushed may be lost' }) }),
    alertFull: emit(alertBegins('store.full', 'store', 'critical', 'the store is full: nothing is delivered and nothing is taken from devices until there is space')),
    endFull: emit(alertEnds('store.full', 'store')),
  },
}).createMachine({
  id: 'store',
  context: ({ input }) => ({ limits: input?.limits ?? storeLimits, tries: 0, output: endedWell }),
  invoke: {
    id: 'effects', src: 'effects',
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error, 'STORE_UNAVAILABLE') }) },
  },
  initial: 'opening',
  on: { 'store.failed': { target: '.failed', actions: 'keepFailure' } },
  states: {
    opening: {
      entry: ['countTry', 'open'],
      on: {
        'store.opened': 'open',
        'store.failed': [
          { guard: 'lockedForNow', target: 'waiting' },
          { target: 'failed', actions: 'keepFailure' },
        ],
        stop: 'closing', // An opening that is under way ends with a close as well.
      },
    },
    waiting: { after: { retry: 'opening' }, on: { stop: 'closed' } },
    open: { on: { 'store.full': 'full', stop: 'closing' } },
    full: {
      entry: 'alertFull',
      exit: 'endFull',
      on: { 'store.space': 'open', stop: 'closing' },
    },
    closing: {
      entry: 'close',
      after: { close: { target: 'failed', actions: 'keepTimeout' } },
      on: { 'store.closed': 'closed' },
    },
    closed: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})
