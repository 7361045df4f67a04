import { and, assign, enqueueActions, setup, stateIn, type AnyActorLogic } from 'xstate'
import { alertBegins, alertEnds, endedWell, failedBy, type AlertEdge, type PartOutput, type StopEvent } from './part.js'
import { supervise, usualPolicy, type RestartPolicy } from './supervise.js'

/**
 * One part under the root. `logic` is a machine of this folder with its effects provided. Parts start in order of
 * `layer` and stop in the reverse order, layer by layer; within a layer together.
 */
export interface PartSpec {
  /** Also its name in the actor system: `link/3`, `pool/B`, `rest`. */
  readonly id: string
  readonly layer: number
  readonly logic: AnyActorLogic
  /**
   * The machine's input, or a function that gives it: called at each start of the part, when the store is open, for what is
   * kept there (a quarantine, a suspension).
   */
  readonly input: unknown
  /** Without it the process is of no use: when it is given up, the process ends. Others stay lost until restarted. */
  readonly vital: boolean
  readonly policy?: RestartPolicy
}

/** Order of starting; stopping goes backwards, so that keys stop flowing first and the store closes last. */
export const layers = { devices: 1, links: 2, peers: 3, pools: 4, admin: 5, rest: 6 } as const

export type RootEvent =
  | StopEvent
  /** Second signal: end now, whatever is under way. */
  | { type: 'root.force' }
  /** Operator: try a lost part again. */
  | { type: 'root.restartPart', part: string }

/** How the process ended: `cause` is 'clean', 'forced', 'store' or the ID of a vital part; `code` a KmeErrorCode or ''. */
export interface RootOutput { readonly cause: string, readonly code: string, readonly reason: string }

interface RootContext { layer: number, running: readonly string[], lost: readonly string[], output: RootOutput }

/** A part's end, as the root learns it. */
interface PartEnd { readonly part: string, readonly output: PartOutput }

const endOf = (event: { type: string }, parts: ReadonlyMap<string, PartSpec>): PartEnd | undefined => {
  const match = /^xstate\.(done|error)\.actor\.(.*)$/s.exec(event.type)
  if (match === null || match[2] === undefined || !parts.has(match[2])) return undefined
  const e = event as { output?: PartOutput, error?: unknown }
  return { part: match[2], output: match[1] === 'error' ? failedBy(e.error) : e.output ?? endedWell }
}

/**
 * The outermost machine: the store first, then all other parts, each under its own supervisor. The store is not
 * restarted: when it ends, everything ends. Give `stopMs` more than the slowest part's own limit.
 *
 * @param store The store machine with its effects.
 */
export const rootMachine = (store: AnyActorLogic, specs: readonly PartSpec[], stopMs = 15_000) => {
  const parts = new Map(specs.map((spec) => [spec.id, spec]))
  const ordered = [...specs].sort((a, b) => a.layer - b.layer)
  const supervisors = Object.fromEntries(specs.map((s) => [s.id, supervise(s.id, s.logic, s.policy ?? usualPolicy) as AnyActorLogic]))
  const inLayer = (layer: number, running: readonly string[]): string[] =>
    running.filter((id) => parts.get(id)?.layer === layer)
  const highest = (running: readonly string[]): number => Math.max(0, ...running.map((id) => parts.get(id)?.layer ?? 0))

  // Every end of every part by its own name: a '*' would swallow what nobody thought of.
  const onEnds = <T>(transitions: T): Record<string, T> => Object.fromEntries(
    specs.flatMap(({ id }) => [`xstate.done.actor.${id}`, `xstate.error.actor.${id}`]).map((type) => [type, transitions]))

  return setup({
    types: {} as { context: RootContext, events: RootEvent, output: RootOutput, emitted: AlertEdge },
    actors: { store, ...supervisors } as Record<string, AnyActorLogic>,
    guards: {
      storeIsOpen: ({ event }) => (event as { snapshot?: { value?: unknown } }).snapshot?.value === 'open',
      vitalLost: ({ event }) => {
        const end = endOf(event, parts)
        return end !== undefined && end.output.failed && parts.get(end.part)?.vital === true
      },
      isLost: ({ context, event }) => event.type === 'root.restartPart' && context.lost.includes(event.part),
      layerDown: ({ context }) => inLayer(context.layer, context.running).length === 0,
      allDown: ({ context }) => context.running.length === 0,
    },
    delays: { layer: stopMs, store: stopMs },
    actions: {
      startAll: enqueueActions(({ enqueue }) => {
        enqueue.assign({ running: ordered.map((s) => s.id) })
        for (const spec of ordered) enqueue.spawnChild(spec.id, { id: spec.id, input: spec.input })
      }),
      startAgain: enqueueActions(({ context, event, enqueue }) => {
        const spec = event.type === 'root.restartPart' ? parts.get(event.part) : undefined
        if (spec === undefined) return
        enqueue.assign({ running: [...context.running, spec.id], lost: context.lost.filter((id) => id !== spec.id) })
        enqueue.emit(alertEnds('part.lost', spec.id))
        enqueue.spawnChild(spec.id, { id: spec.id, input: spec.input })
      }),
      notePart: enqueueActions(({ context, event, enqueue }) => {
        const end = endOf(event, parts)
        if (end === undefined) return
        enqueue.stopChild(end.part)
        enqueue.assign({
          running: context.running.filter((id) => id !== end.part),
          lost: end.output.failed ? [...context.lost, end.part] : context.lost,
        })
      }),
      alertPart: enqueueActions(({ event, enqueue }) => {
        const end = endOf(event, parts)
        if (end?.output.failed === true) enqueue.emit(alertBegins('part.lost', end.part, 'critical', `given up after repeated failures: ${end.output.reason}`))
      }),
      blamePart: assign(({ event }) => {
        const end = endOf(event, parts)
        return end === undefined ? {} : { output: { cause: end.part, code: end.output.code, reason: end.output.reason } }
      }),
      blameStore: assign(({ event, context }) => {
        const e = event as { output?: PartOutput, error?: unknown }
        const end = 'error' in e ? failedBy(e.error, 'STORE_UNAVAILABLE') : e.output ?? endedWell
        return end.failed ? { output: { cause: 'store', code: end.code, reason: end.reason } } : { output: context.output }
      }),
      blameForce: assign({ output: { cause: 'forced', code: '', reason: 'forced to end before everything was closed' } }),
      pickLayer: assign({ layer: ({ context }) => highest(context.running) }),
      stopLayer: enqueueActions(({ context, enqueue }) => {
        for (const id of inLayer(context.layer, context.running)) enqueue.sendTo(id, { type: 'stop' })
      }),
      cutLayer: enqueueActions(({ context, enqueue }) => {
        const late = inLayer(context.layer, context.running)
        for (const id of late) enqueue.stopChild(id)
        enqueue.assign({ running: context.running.filter((id) => !late.includes(id)) })
      }),
      stopStore: enqueueActions(({ enqueue }) => { enqueue.sendTo('store', { type: 'stop' }) }),
      blameSlowStore: assign({ output: { cause: 'store', code: 'STORE_UNAVAILABLE', reason: 'the store did not close in time: what was not flushed may be lost' } }),
    },
  }).createMachine({
    id: 'root',
    context: { layer: 0, running: [], lost: [], output: { cause: 'clean', code: '', reason: '' } },
    initial: 'alive',
    on: { 'root.force': { target: '.ended', actions: 'blameForce' } },
    states: {
      alive: {
        // The store lives as long as anything does: its end, by whatever way, ends the process.
        invoke: {
          id: 'store', src: 'store', systemId: 'store', input: {},
          onSnapshot: { guard: and([stateIn({ alive: 'opening' }), 'storeIsOpen']), target: '.working' },
          onDone: { target: 'ended', actions: 'blameStore' },
          onError: { target: 'ended', actions: 'blameStore' },
        },
        initial: 'opening',
        states: {
          opening: { on: { stop: 'closing' } },
          working: {
            entry: 'startAll',
            on: {
              ...onEnds([
                { guard: 'vitalLost', target: 'stopping', actions: ['blamePart', 'notePart'] },
                { actions: ['notePart', 'alertPart'] },
              ]),
              'root.restartPart': { guard: 'isLost', actions: 'startAgain' },
              stop: 'stopping',
            },
          },
          /** One layer at a time, the highest first. */
          stopping: {
            entry: ['pickLayer', 'stopLayer'],
            always: [{ guard: 'allDown', target: 'closing' }, { guard: 'layerDown', target: 'stopping', reenter: true }],
            after: { layer: { actions: 'cutLayer' } },
            on: onEnds([{ actions: 'notePart' }]),
          },
          closing: {
            entry: 'stopStore',
            after: { store: { target: '#root.ended', actions: 'blameSlowStore' } },
          },
        },
      },
      ended: { type: 'final' },
    },
    output: ({ context }) => context.output,
  })
}
