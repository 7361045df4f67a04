import { createActor, fromCallback, type Actor, type AnyActorLogic, type AnyStateMachine, type AnyEventObject, type StateNode } from 'xstate'
import { SimClock } from '../../sim/clock.js'

/** A step on the way to a state: an event, or milliseconds to wait. */
export type Step = AnyEventObject | number

/** One machine under test. */
export interface Bench {
  readonly machine: AnyStateMachine
  readonly input: unknown
  /** Name of the actor contract that gets a recording stand-in, if the machine has one. */
  readonly effects?: string
}

/** A machine that runs on simulated time, with everything it commanded and emitted. */
export interface Run {
  readonly actor: Actor<AnyStateMachine>
  readonly clock: SimClock
  readonly commands: string[]
  readonly emitted: string[]
  readonly play: (...steps: readonly Step[]) => void
  readonly state: () => string
}

const alertText = (e: Record<string, unknown>): string => e['type'] === 'alert'
  ? `${e['active'] === true ? '+' : '-'}${String(e['alert'])}`
  : `${String(e['type'])}:${String(e['event'] ?? e['what'])}`

/** A state as one text: `alive.running`. */
const pathOf = (value: unknown): string => typeof value === 'string'
  ? value
  : Object.entries(value as Record<string, unknown>).map(([key, inner]) => `${key}.${pathOf(inner)}`).join('+')

/** All states that the machine can be in, as such texts. */
export const leaves = (node: StateNode, prefix = ''): string[] => Object.values(node.states as Record<string, StateNode>)
  .flatMap((state) => Object.keys(state.states).length > 0 ? leaves(state, `${prefix}${state.key}.`) : [`${prefix}${state.key}`])

/** Starts the machine with an effects actor that only writes down its commands. */
export const run = (bench: Bench, ...steps: readonly Step[]): Run => {
  const clock = new SimClock()
  const commands: string[] = []
  const emitted: string[] = []
  const recorder = fromCallback(({ receive }) => {
    receive(({ type, ...rest }) => { commands.push(Object.keys(rest).length > 0 ? `${type} ${JSON.stringify(rest)}` : type) })
  })
  const logic: AnyActorLogic = bench.effects === undefined ? bench.machine : bench.machine.provide({ actors: { [bench.effects]: recorder } })
  const actor = createActor(logic as AnyStateMachine, { clock, input: bench.input })
  actor.on('*', (event) => { emitted.push(alertText(event as Record<string, unknown>)) })
  actor.subscribe({ error: (error) => { emitted.push(`error:${String(error)}`) } })
  actor.start()
  const play = (...more: readonly Step[]): void => {
    for (const step of more) if (typeof step === 'number') clock.advance(step); else actor.send(step)
  }
  play(...steps)
  return { actor, clock, commands, emitted, play, state: () => pathOf((actor.getSnapshot() as { value: unknown }).value) }
}

export interface Table extends Bench {
  /** Column labels and what they do: an event, or time that passes. */
  readonly columns: Readonly<Record<string, Step>>
  /** How to reach each state. */
  readonly paths: Readonly<Record<string, readonly Step[]>>
  /** For each state the targets in the order of the columns, separated by spaces; `.` means that it stays, `-` that it cannot happen. */
  readonly rows: Readonly<Record<string, string>>
  /** States that are left as soon as they are entered: they have no row. */
  readonly passing?: readonly string[]
  /** States that this input never leads to: they have no row here, and one in another table. */
  readonly unreachable?: readonly string[]
}

interface Tester {
  equal (a: unknown, b: unknown, message: string): unknown
  same (a: unknown, b: unknown, message: string): unknown
}

/** Event types that the machine's definition mentions, without those of timers and of its own actors. */
const eventTypes = (machine: AnyStateMachine): string[] =>
  machine.events.filter((type) => !type.startsWith('xstate.')).map(String).sort()

const timersOf = (node: StateNode): number =>
  node.after.length + Object.values(node.states as Record<string, StateNode>).reduce((n, state) => n + timersOf(state), 0)

/** Checks that no pair of state and event is missing from the table. */
const checkComplete = (t: Tester, table: Table): void => {
  const states = leaves(table.machine.root as unknown as StateNode).filter((s) => ![...table.passing ?? [], ...table.unreachable ?? []].includes(s)).sort()
  t.same(Object.keys(table.rows).sort(), states, 'a row for every state')
  t.same(Object.keys(table.paths).sort(), states, 'a path to every state')
  const types = new Set(Object.values(table.columns).filter((s) => typeof s !== 'number').map((s) => s.type).filter((type) => !type.startsWith('xstate.')))
  t.same([...types].sort(), eventTypes(table.machine), 'a column for every event')
  const waits = Object.values(table.columns).filter((s) => typeof s === 'number').length
  t.equal(waits > 0, timersOf(table.machine.root as unknown as StateNode) > 0, 'a column for time if there are timers')
  for (const [state, row] of Object.entries(table.rows)) {
    t.equal(row.trim().split(/\s+/).length, Object.keys(table.columns).length, `${state}: as many cells as columns`)
  }
}

/** Plays every cell: reach the state, do what the column says, look where it is. */
export const checkTable = (t: Tester, table: Table): void => {
  checkComplete(t, table)
  for (const [state, row] of Object.entries(table.rows)) {
    const cells = row.trim().split(/\s+/)
    Object.entries(table.columns).forEach(([label, step], i) => {
      if (cells[i] === '-') return
      const r = run(table, ...(table.paths[state] ?? []))
      if (r.state() !== state) { t.equal(r.state(), state, `the path to ${state} ends there`); return }
      const target = cells[i] === '.' ? state : cells[i]
      r.play(step)
      t.equal(r.state(), target, `${state} + ${label}`)
      t.same(r.emitted.filter((e) => e.startsWith('error:')), [], `${state} + ${label}: no error`)
      r.actor.stop()
    })
  }
}
