import type { KmeId } from '../../src/kernel/ids.js'
import type { SimRandom } from '../random.js'

/** A KME of a model: its process can be ended in several ways. */
export interface Mortal {
  readonly o: { readonly id: KmeId, readonly clock: { now (): number } }
  readonly process: unknown
  stop (): Promise<void>
  kill (lost?: number): void
  powerCut (survivors?: number): void
}

/** Ends processes, and says when each may start again. */
export class Downs {
  private readonly untilMs = new Map<Mortal, number>()
  /** @param downMs How long a dead one stays down, at most. */
  constructor (private readonly random: SimRandom, private readonly downMs: number, private readonly note: (what: string) => void) {}

  /** SIGKILL; sometimes some of the newest transactions are lost. */
  kill (node: Mortal): void { this.end(node, 'kill', () => { node.kill(this.random.integer(2) * this.random.integer(4)) }) }
  power (node: Mortal): void { this.end(node, 'power', () => { node.powerCut(this.random.integer(3)) }) }

  async stop (node: Mortal): Promise<void> {
    if (node.process === undefined) return
    this.note(`stop ${node.o.id}`)
    await node.stop()
    this.ended(node)
  }

  isOver (node: Mortal): boolean { return node.o.clock.now() >= (this.untilMs.get(node) ?? 0) }

  private end (node: Mortal, what: string, end: () => void): void {
    if (node.process === undefined) return
    this.note(`${what} ${node.o.id}`)
    end()
    this.ended(node)
  }

  private ended (node: Mortal): void { this.untilMs.set(node, node.o.clock.now() + this.random.integer(this.downMs)) }
}
