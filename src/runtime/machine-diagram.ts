import type { AnyStateMachine, StateNode } from 'xstate'

/** What is read of a transition; XState's own type says much more. */
interface Arrow { readonly from: string, readonly to: string, readonly label: string }

type Transitions = readonly {
  readonly target?: readonly { readonly id: string }[] | undefined
  readonly guard?: unknown
  readonly source: { readonly id: string }
}[]

/** A state's name in Mermaid: letters, digits and underscores only. */
const nameOf = (id: string): string => id.replace(/[^A-Za-z0-9]/g, '_')

const guardName = (guard: unknown): string => {
  if (guard === undefined) return ''
  if (typeof guard === 'string') return ` [${guard}]`
  const type = (guard as { type?: unknown }).type
  return typeof type === 'string' ? ` [${type}]` : ' [when it may]'
}

/** The event as a reader knows it: without the machine's name, timers by the name of their delay. */
const eventName = (type: string, machineId: string): string => {
  const timer = /^xstate\.after\.([^.]+)\./.exec(type)
  if (timer !== null) return `after ${timer[1] ?? ''}`
  const child = /^xstate\.(done|error|snapshot)\.(?:actor\.)?(.+)$/.exec(type)
  if (child !== null) return `${child[2] ?? ''} ${child[1] === 'done' ? 'ends' : child[1] === 'error' ? 'fails' : 'changes'}`
  return type.startsWith(`${machineId}.`) ? type.slice(machineId.length + 1) : type
}

const arrowsOf = (node: StateNode, machineId: string): Arrow[] => {
  const arrows: Arrow[] = []
  const take = (transitions: Transitions, event: string): void => {
    for (const one of transitions) {
      const target = one.target?.[0]
      if (target !== undefined) arrows.push({ from: nameOf(node.id), to: nameOf(target.id), label: `${event}${guardName(one.guard)}` })
    }
  }
  for (const [type, transitions] of node.transitions) take(transitions as Transitions, eventName(type, machineId))
  take((node.always ?? []) as Transitions, 'at once')
  return arrows
}

const statesOf = (node: StateNode): StateNode[] => Object.values(node.states as Record<string, StateNode>)

/** One arrow per pair of states, with all its labels, so that the picture stays readable. */
const merge = (arrows: readonly Arrow[]): Arrow[] => {
  const merged = new Map<string, Set<string>>()
  for (const { from, to, label } of arrows) {
    const key = `${from} ${to}`
    merged.set(key, (merged.get(key) ?? new Set()).add(label))
  }
  return [...merged].map(([key, labels]) => {
    const [from = '', to = ''] = key.split(' ')
    return { from, to, label: [...labels].join(', ') }
  })
}

const draw = (node: StateNode, machineId: string, indent: string): string[] => {
  const lines: string[] = []
  const initial = node.initial?.target[0]
  if (initial !== undefined) lines.push(`${indent}[*] --> ${nameOf((initial as { id: string }).id)}`)
  for (const state of statesOf(node)) {
    if (statesOf(state).length === 0) lines.push(`${indent}state "${state.key}" as ${nameOf(state.id)}`)
    else lines.push(`${indent}state "${state.key}" as ${nameOf(state.id)} {`, ...draw(state, machineId, `${indent}  `), `${indent}}`)
    if (state.type === 'final') lines.push(`${indent}${nameOf(state.id)} --> [*]`)
  }
  for (const arrow of merge(statesOf(node).flatMap((state) => arrowsOf(state, machineId)))) {
    lines.push(`${indent}${arrow.from} --> ${arrow.to} : ${arrow.label}`)
  }
  return lines
}

/** A Mermaid state diagram of the machine, without the arrows that leave from every state (see `everywhere`). */
export const diagramOf = (machine: AnyStateMachine): string =>
  ['stateDiagram-v2', ...draw(machine.root as unknown as StateNode, machine.id, '  ')].join('\n')

/** What holds in every state that does not say otherwise: lines of `event -> state`. */
export const everywhere = (machine: AnyStateMachine): string[] => {
  const root = machine.root as unknown as StateNode
  return merge(arrowsOf(root, machine.id)).map(({ to, label }) => `${label} → ${to.slice(nameOf(machine.id).length + 1)}`)
}
