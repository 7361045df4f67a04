import type { SimRandom } from '../random.js'
import type { SimDisk } from '../store.js'
import { SimNode } from './node.js'
import type { World } from './world.js'

type Home = 0 | 1

/**
 * The trouble that takes stock away for good (design 3, Copies): old copies of a store come back, a store is replaced by a new
 * one, two copies of one run at once, an operator voids a pool.
 */
export class Losses {
  private readonly copies: (SimDisk | undefined)[] = [undefined, undefined]
  private twin: { readonly node: SimNode, readonly home: Home, readonly untilMs: number } | undefined

  constructor (private readonly world: World, private readonly random: SimRandom) {}

  /** A node's disk is copied, as a backup tool would. */
  copy (home: Home): void {
    this.copies[home] = this.world.nodes[home].disk.copy()
    this.world.note(`copy ${this.world.nodes[home].o.id}`)
  }

  /** The copy comes back. The stamp gives it away at the start, or (`isSeen` false) the peer must. */
  restore (home: Home, isSeen: boolean): void {
    const copy = this.copies[home], node = this.world.nodes[home]
    if (copy === undefined || this.twin !== undefined) return
    this.world.note(`restore ${node.o.id}${isSeen ? ', seen at the start' : ''}`)
    node.kill()
    node.disk.restore(copy)
    if (!this.world.isWhole) this.world.forgetPads() // Nobody may remember the numbers any more: they come again, for other bytes.
    if (isSeen) node.rolledBack = 'the stamp is not its own'
    node.loseLocalPool() // A rollback that only the peer can see says nothing of a pool without a peer: the stamp guards that one.
    this.world.ledger.forgave(home)
    this.world.doubt()
  }

  /** Both at once: then no peer remembers, and only the stamp can tell. */
  restoreBoth (): void {
    if (this.copies.includes(undefined)) return
    const first = this.random.integer(2) as Home
    this.restore(first, this.random.chance(0.5))
    this.restore(1 - first as Home, true)
  }

  /** The disk is empty: a new machine in the place of the old one. */
  newStore (home: Home): void {
    const node = this.world.nodes[home]
    if (this.twin !== undefined) return
    this.world.note(`new store at ${node.o.id}`)
    node.kill()
    node.replaceDisk()
    this.world.forgetPads()
    this.copies[home] = undefined
    this.world.ledger.forgave(home)
    this.world.doubt()
  }

  voidPool (home: Home): void {
    const node = this.world.nodes[home]
    if (node.process === undefined || this.twin !== undefined) return
    this.world.note(`void at ${node.o.id}`)
    node.voidPool()
    this.world.doubt()
  }

  // --- split brain ----------------------------------------------------------------------------------------------------

  /** A copy of a running node starts beside it and serves the same SAEs. */
  async split (home: Home): Promise<void> {
    const original = this.world.nodes[home]
    if (this.twin !== undefined || original.process === undefined) return
    this.world.note(`a copy of ${original.o.id} runs beside it`)
    const node = new SimNode({ ...original.o, random: this.random.fork(), copyOf: original })
    this.twin = { node, home, untilMs: this.world.clock.now() + this.random.pick([1_000, 10_000, 60_000]) }
    this.world.hasTwin = true
    this.world.doubt()
    this.world.ledger.forgave(home)
    node.loseLocalPool()
    await node.start()
  }

  get twinNode (): SimNode | undefined { return this.twin?.node }

  /** Each step while two run: the same SAEs ask the copy. When an operator has seen the alarm, one of the two goes. */
  async step (isOver = false): Promise<void> {
    const { twin, world } = this
    if (twin === undefined) return
    const original = world.nodes[twin.home]
    if (!isOver && world.clock.now() < twin.untilMs) return
    this.twin = undefined
    world.hasTwin = false
    const survives = this.random.chance(0.5) ? 'the copy' : 'the original'
    world.note(`${survives} of ${original.o.id} survives`)
    twin.node.kill()
    original.kill()
    if (survives === 'the copy') original.disk.restore(twin.node.disk)
    original.rolledBack = 'two of this store ran at once' // The operator follows the alarm: docs/operations.md.
    twin.node.dispose()
    this.copies[twin.home] = undefined
    world.doubt()
    await world.wait(1)
  }
}
