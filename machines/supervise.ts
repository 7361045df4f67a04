import { assign, emit, sendTo, setup, type AnyActorLogic } from 'xstate'
import { backoffMs, endedWell, failedBy, type PartOutput, type StopEvent } from './part.js'

/** `attemptsMax` restarts in one unstable spell, then give up. Times in milliseconds. */
export interface RestartPolicy {
  readonly minMs: number
  readonly maxMs: number
  /** A child that ran this long is forgiven its earlier failures. */
  readonly stableMs: number
  readonly attemptsMax: number
  /** How long a child may take to stop before it is cut off. */
  readonly stopMs: number
}

export const usualPolicy: RestartPolicy = { minMs: 200, maxMs: 30_000, stableMs: 60_000, attemptsMax: 8, stopMs: 10_000 }

/** What a supervisor tells besides its state. */
export interface SupervisionEdge {
  type: 'supervision'
  readonly part: string
  readonly what: 'restarting' | 'gaveUp' | 'cutOff'
  readonly attempt: number
  readonly reason: string
}

interface SupervisedContext { attempt: number, askedToStop: boolean, input: unknown, output: PartOutput }

/** An input may be a function that gives it: called at each start of the child, so that a restart sees what is true then. */
const inputOf = (input: unknown): unknown => typeof input === 'function' ? (input as () => unknown)() : input

const isPartOutput = (value: unknown): value is PartOutput =>
  typeof value === 'object' && value !== null && typeof (value as { failed?: unknown }).failed === 'boolean'

/** The failure in a done or error event of the child, or undefined if it ended well. */
const failureOf = (event: unknown): PartOutput | undefined => {
  const e = event as { output?: unknown, error?: unknown }
  if ('error' in e) return failedBy(e.error)
  return isPartOutput(e.output) && e.output.failed ? e.output : undefined
}

/**
 * Keeps one child running: a failure (an error, or finishing with `failed`) is followed by a restart after a capped
 * doubling delay; a stable spell forgives; after `attemptsMax` restarts it gives up by finishing with `failed`, so that
 * the level above decides. `stop` is passed to the child. The child is found as `system.get(id)`, in each of its lives.
 */
export const supervise = (id: string, child: AnyActorLogic, policy: RestartPolicy = usualPolicy) => setup({
  types: {} as {
    context: SupervisedContext, events: StopEvent, input: unknown, output: PartOutput, emitted: SupervisionEdge
  },
  actors: { child },
  guards: {
    askedToStop: ({ context }) => context.askedToStop,
    failedForGood: ({ context, event }) => failureOf(event) !== undefined && context.attempt >= policy.attemptsMax,
    failed: ({ event }) => failureOf(event) !== undefined,
  },
  delays: { backoff: ({ context }) => backoffMs(policy, context.attempt), stable: policy.stableMs, stopLimit: policy.stopMs },
  actions: {
    note: assign({ attempt: ({ context }) => context.attempt + 1 }),
    forgive: assign({ attempt: 0 }),
    keep: assign({ output: ({ event }) => failureOf(event) ?? endedWell }),
    tellRestart: emit(({ context }) => ({
      type: 'supervision', part: id, what: 'restarting', attempt: context.attempt, reason: context.output.reason,
    })),
    tellGaveUp: emit(({ context }) => ({
      type: 'supervision', part: id, what: 'gaveUp', attempt: context.attempt, reason: context.output.reason,
    })),
    tellCutOff: emit(({ context }) => ({
      type: 'supervision', part: id, what: 'cutOff', attempt: context.attempt, reason: `did not stop within ${policy.stopMs} ms`,
    })),
    noteStop: assign({ askedToStop: true }),
    passStop: sendTo('child', { type: 'stop' }),
  },
}).createMachine({
  id,
  context: ({ input }) => ({ attempt: 0, askedToStop: false, input, output: endedWell }),
  initial: 'alive',
  states: {
    alive: {
      invoke: {
        id: 'child', src: 'child', systemId: id, input: ({ context }: { context: SupervisedContext }) => inputOf(context.input),
        onError: [
          { guard: 'askedToStop', target: '#finished', actions: 'keep' },
          { guard: 'failedForGood', target: '#gaveUp', actions: ['keep', 'tellGaveUp'] },
          { target: '#waiting', actions: ['keep', 'note', 'tellRestart'] },
        ],
        onDone: [
          { guard: 'askedToStop', target: '#finished', actions: 'keep' },
          { guard: 'failedForGood', target: '#gaveUp', actions: ['keep', 'tellGaveUp'] },
          { guard: 'failed', target: '#waiting', actions: ['keep', 'note', 'tellRestart'] },
          { target: '#finished', actions: 'keep' },
        ],
      },
      initial: 'running',
      states: {
        running: {
          after: { stable: { actions: 'forgive' } },
          on: { stop: 'stopping' },
        },
        stopping: {
          entry: ['noteStop', 'passStop'],
          after: { stopLimit: { target: '#finished', actions: 'tellCutOff' } },
        },
      },
    },
    waiting: { id: 'waiting', after: { backoff: 'alive' }, on: { stop: 'finished' } },
    gaveUp: { id: 'gaveUp', type: 'final' }, // The level above sees `onDone` and decides.
    finished: { id: 'finished', type: 'final' },
  },
  output: ({ context }) => context.output,
})
