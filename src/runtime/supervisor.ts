import { createActor, type Actor, type AnyActorLogic } from 'xstate'
import { rootMachine, type PartSpec, type RootOutput } from '../../machines/root.js'
import type { AlertEdge } from '../../machines/part.js'
import type { Log } from '../kernel/log.js'
import type { Clock } from '../kernel/time.js'
import { PartBoard } from './board.js'
import { machineClock } from './xstate-clock.js'

export interface SupervisorOptions {
  readonly clock: Clock
  readonly log: Log
  readonly alert: (edge: AlertEdge) => void
  /** The store machine with its effects. */
  readonly store: AnyActorLogic
  /** Made with the board, so that parts can look at each other. */
  readonly parts: (board: PartBoard) => readonly PartSpec[]
  /** How long one layer, and the store, may take to stop. */
  readonly stopMs?: number
}

/**
 * The root machine with everything under it, on the clock of the process. `ended` resolves once, with the cause; it
 * never rejects.
 */
export class Supervisor {
  readonly board: PartBoard
  readonly ended: Promise<RootOutput>
  readonly #actor: Actor<ReturnType<typeof rootMachine>>

  constructor (options: SupervisorOptions) {
    this.board = new PartBoard({ log: options.log, alert: options.alert })
    const root = rootMachine(options.store, options.parts(this.board), options.stopMs)
    this.#actor = createActor(root, { clock: machineClock(options.clock), inspect: this.board.observe })
    this.ended = new Promise((resolve) => {
      this.#actor.subscribe({
        complete: () => { resolve(this.#actor.getSnapshot().output ?? bug('the root machine ended without a cause')) },
        // No part's failure comes this far: this is a fault in the machines themselves.
        error: (error) => {
          options.log.fatal('root machine failed', { error })
          resolve(bug(error instanceof Error ? error.message : 'unknown fault'))
        },
      })
    })
  }

  start (): void { this.#actor.start() }
  /** Clean stop, layer by layer. Harmless when it is under way. */
  stop (): void { this.#actor.send({ type: 'stop' }) }
  /** Ends at once: what was not flushed is closed at the next start. */
  force (): void { this.#actor.send({ type: 'root.force' }) }
  restartPart (part: string): void { this.#actor.send({ type: 'root.restartPart', part }) }
  /** Parts that were given up. */
  get lost (): readonly string[] { return this.#actor.getSnapshot().context.lost }
  /** `opening`, `working`, `stopping`, `closing` or `ended`. */
  get state (): string {
    const value = this.#actor.getSnapshot().value as string | { readonly alive: string }
    return typeof value === 'string' ? value : value.alive
  }

  /** Servers take certificates and CRLs from their files again. */
  reload (): void { for (const id of ['rest', 'admin']) this.board.send(id, { type: 'server.reload' }) }
}

const bug = (reason: string): RootOutput => ({ cause: 'bug', code: 'INTERNAL', reason })
