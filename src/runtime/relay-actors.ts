import { createActor, type Actor } from 'xstate'
import { alertBegins, alertEnds, type AlertEdge, type PartOutput } from '../../machines/part.js'
import type { PartSpec } from '../../machines/root.js'
import { supervise, usualPolicy } from '../../machines/supervise.js'
import type { Clock } from '../kernel/time.js'
import type { PartBoard } from './board.js'
import { machineClock } from './xstate-clock.js'

export interface RelayActorsDeps {
  readonly clock: Clock
  readonly board: PartBoard
  readonly alert: (edge: AlertEdge) => void
  /** The part of a pool, by the pool's name (parts.ts). */
  readonly part: (pool: string) => PartSpec
}

/** What a pool's machine may have told that only it would end. */
const poolAlerts = ['pool.forecast', 'pool.low', 'pool.exhausted', 'pool.suspended', 'pool.held', 'pool.replenish', 'part.lost'] as const

/** The actors of relayed pools that come and go by themselves: supervised like every part, on the same board, but not known to the root. */
export class RelayActors {
  private readonly actors = new Map<string, { readonly actor: Actor<ReturnType<typeof supervise>>, readonly part: string }>()
  constructor (private readonly d: RelayActorsDeps) {}

  start (pool: string): void {
    const { id, logic, policy, input } = this.d.part(pool)
    const actor = createActor(supervise(id, logic, policy ?? usualPolicy), { clock: machineClock(this.d.clock), inspect: this.d.board.observe, input })
    actor.subscribe({ complete: () => {
      const output = actor.getSnapshot().output as PartOutput | undefined
      if (output?.failed === true) this.d.alert(alertBegins('part.lost', id, 'critical', `given up after repeated failures: ${output.reason}`))
    } })
    this.actors.set(pool, { actor, part: id })
    actor.start()
  }

  /** The pool is gone: nothing is said to its far end any more. */
  end (pool: string): void {
    const found = this.actors.get(pool)
    if (found === undefined) return
    this.actors.delete(pool)
    found.actor.stop()
    this.d.board.forget(found.part)
    for (const alert of poolAlerts) this.d.alert(alertEnds(alert, found.part))
  }

  /** Clean stop of all: they say goodbye. */
  stop (): void { for (const { actor } of this.actors.values()) actor.send({ type: 'stop' }) }

  dispose (): void { for (const pool of [...this.actors.keys()]) this.end(pool) }
}
