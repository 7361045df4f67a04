import { SimClock } from '../clock.js'
import { SimNetwork } from '../network.js'
import { SimRandom } from '../random.js'
import type { SimDisk } from '../store.js'
import { usableBytes } from '../../src/pool/rows.js'
import { SimNode, type Answer, type GotKey } from './node.js'

export interface ModelOptions {
  readonly seed: number
  readonly steps: number
  /** Which kinds of trouble this run may draw (swarm testing: each run draws its own subset). */
  readonly restores?: boolean
}

export interface ModelResult {
  readonly seed: number
  readonly violations: string[]
  readonly delivered: number
  readonly fetched: number
  readonly log: string[]
}

const SIZES = [64, 72, 128, 256, 256, 256, 512, 1_024, 8_192]

/**
 * Two KMEs under random trouble, against a model that knows every answer: no key bytes twice, equal IDs have equal bytes,
 * a slave gets a key once, and after calm both sides agree and serve again (I1 to I5, I10; design 3).
 */
class Model {
  readonly clock = new SimClock()
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly nodes: readonly [SimNode, SimNode]
  readonly violations: string[] = []
  readonly log: string[] = []
  /** Every 8-byte unit ever handed to a master, by its bytes. */
  private readonly units = new Map<string, string>()
  private readonly given = new Map<string, { key: string, master: string, slave: string, node: number, fetched: boolean }>()
  private nextFrame = 0
  delivered = 0
  fetched = 0
  private readonly copies: (SimDisk | undefined)[] = [undefined, undefined]
  private restored = [false, false]

  constructor (readonly o: ModelOptions) {
    this.random = new SimRandom(o.seed)
    this.network = new SimNetwork({ clock: this.clock, random: this.random.fork(), faults: { delayMs: 2, jitterMs: 3 } })
    const common = { clock: this.clock, network: this.network, flushMs: 3, limits: { keyTtlMs: 600_000, fetchTtlMs: 60_000 }, arenaBytes: 1 << 20 }
    this.nodes = [
      new SimNode({ ...common, random: this.random.fork(), id: 'A', peer: 'B', saes: ['a1', 'a2'], peerSaes: ['b1', 'b2'] }),
      new SimNode({ ...common, random: this.random.fork(), id: 'B', peer: 'A', saes: ['b1', 'b2'], peerSaes: ['a1', 'a2'] }),
    ]
  }

  private note (what: string): void { this.log.push(`${Math.round(this.clock.now())} ${what}`) }

  async run (): Promise<void> {
    for (const node of this.nodes) await node.start()
    await this.clock.advanceAsync(1_000)
    this.frames(40)
    await this.clock.advanceAsync(4_000)
    for (let i = 0; i < this.o.steps; i++) {
      await this.step()
      if (this.violations.length > 0) return
    }
    await this.calm()
  }

  private async step (): Promise<void> {
    const which = this.random.integer(2)
    const node = this.nodes[which]!
    const dice = this.random.integer(100)
    if (dice < 30) this.ask(which)
    else if (dice < 50) this.fetch()
    else if (dice < 62) this.frames(1 + this.random.integer(24))
    else if (dice < 90) await this.clock.advanceAsync(this.random.pick([5, 20, 100, 600, 3_000]))
    else if (dice < 92) { this.note(`kill ${node.o.id}`); node.kill(this.random.integer(2) * this.random.integer(4)) }
    else if (dice < 93) { this.note(`power ${node.o.id}`); node.powerCut(this.random.integer(3)) }
    else if (dice < 95) { if (node.process !== undefined) { this.note(`stop ${node.o.id}`); await node.stop() } }
    else if (dice < 98) await this.revive(which)
    else if (dice < 99) this.partition()
    else this.copyOrRestore(which)
    for (let i = 0; i < 2; i++) if (this.nodes[i]!.rolledBack !== '' && this.nodes[i]!.process !== undefined) { this.note(`rolled back ${i}`); this.nodes[i]!.kill(); await this.revive(i) }
  }

  private async revive (which: number): Promise<void> {
    const node = this.nodes[which]!
    if (node.process !== undefined) return
    if (this.restored[which] === true && this.random.chance(0.5)) node.rolledBack = 'the stamp is not its own'
    this.restored[which] = false
    this.note(`start ${node.o.id}${node.rolledBack === '' ? '' : ' as a copy'}`)
    await node.start()
    await this.clock.advanceAsync(this.random.pick([1, 50, 2_000]))
  }

  private partition (): void {
    this.note('partition')
    this.network.partition('A', 'B')
    this.clock.after(this.random.pick([100, 5_000, 40_000]), () => { this.network.join('A', 'B') })
  }

  private copyOrRestore (which: number): void {
    if (this.o.restores !== true) return
    const node = this.nodes[which]!
    const copy = this.copies[which]
    if (copy === undefined || this.random.chance(0.4)) { this.copies[which] = node.disk.copy(); this.note(`copy ${node.o.id}`); return }
    this.note(`restore ${node.o.id}`)
    node.kill()
    node.disk.restore(copy)
    this.restored[which] = true
  }

  /** Both ends get the same frames; now and then one of them misses some. */
  private frames (count: number): void {
    for (let i = 0; i < count; i++) {
      const id = ++this.nextFrame
      const lost = this.random.chance(0.01) ? this.random.integer(2) : -1
      this.nodes.forEach((node, n) => { if (n !== lost) node.frame(id, id) })
    }
  }

  private ask (which: number): void {
    const node = this.nodes[which]!
    if (node.process === undefined) return
    const { saes, peerSaes } = node.o
    const caller = this.random.pick(saes), slave = this.random.pick(peerSaes)
    const number = this.random.pick([1, 1, 1, 2, 8, 64]), sizeBits = this.random.pick(SIZES)
    node.enc({ caller, slave, number, sizeBits }, (answer) => { this.gave(which, caller, slave, number, sizeBits, answer) })
  }

  private gave (node: number, master: string, slave: string, number: number, sizeBits: number, answer: Answer): void {
    if ('refusal' in answer) return
    if (answer.keys.length !== number) this.violations.push(`asked for ${number} keys, got ${answer.keys.length}`)
    for (const k of answer.keys) this.check(k, node, master, slave, sizeBits)
  }

  private check ({ id, key }: GotKey, node: number, master: string, slave: string, sizeBits: number): void {
    this.delivered++
    const bytes = Buffer.from(key, 'base64')
    if (bytes.length * 8 !== sizeBits) this.violations.push(`key ${id} has ${bytes.length * 8} bits, not ${sizeBits}`)
    if (this.given.has(id)) this.violations.push(`key_ID ${id} was given before`)
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      const unit = bytes.toString('hex', at, at + 8)
      const before = this.units.get(unit)
      if (before !== undefined) { this.violations.push(`bytes of ${id} (${master} to ${slave}) were given before as ${before}`); return }
      this.units.set(unit, id)
    }
    this.given.set(id, { key, master, slave, node, fetched: false })
  }

  private fetch (): void {
    const open = [...this.given].filter(([, g]) => !g.fetched)
    if (open.length === 0) return
    const [id, given] = open[open.length - 1 - Math.min(open.length - 1, this.random.integer(20))]!
    const node = this.nodes[1 - given.node]!
    if (node.process === undefined) return
    node.dec({ caller: given.slave, master: given.master, keyIds: [id] }, (answer) => {
      if ('refusal' in answer) return
      const got = answer.keys[0]!
      if (got.key !== given.key) this.violations.push(`key ${id} has other bytes at the slave`)
      if (given.fetched && !this.lookerWasRestored) this.violations.push(`key ${id} was fetched twice`)
      given.fetched = true
      this.fetched++
    })
  }

  /** I5 accepts that a looker restored from a copy may deliver a key to the same slave a second time. */
  private get lookerWasRestored (): boolean { return this.o.restores === true }

  /** Trouble ends: both sides come back, agree, and deliver in both directions. */
  private async calm (): Promise<void> {
    this.network.join('A', 'B')
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 2; i++) {
        if (this.nodes[i]!.rolledBack !== '') this.nodes[i]!.kill()
        await this.revive(i)
      }
      await this.clock.advanceAsync(45_000)
      this.frames(100)
      await this.clock.advanceAsync(20_000)
    }
    this.agree()
    for (let which = 0; which < 2 && this.violations.length === 0; which++) await this.exchange(which)
  }

  private async exchange (which: number): Promise<void> {
    const node = this.nodes[which]!
    const [caller, slave] = [node.o.saes[0]!, node.o.peerSaes[0]!]
    let first: Answer | undefined
    for (let attempt = 0; attempt < 5 && (first === undefined || 'refusal' in first); attempt++) {
      node.enc({ caller, slave }, (answer) => { first = answer; this.gave(which, caller, slave, 1, 256, answer) })
      await this.clock.advanceAsync(4_000)
    }
    if (first === undefined || 'refusal' in first) { this.violations.push(`no key from ${node.o.id} after calm: ${JSON.stringify(first)}`); return }
    const { id, key } = first.keys[0]!
    let second: Answer | undefined
    this.nodes[1 - which]!.dec({ caller: slave, master: caller, keyIds: [id] }, (answer) => { second = answer })
    await this.clock.advanceAsync(1_000)
    if (second === undefined || 'refusal' in second || second.keys[0]!.key !== key) this.violations.push(`the slave did not get ${id} after calm: ${JSON.stringify(second)}`)
  }

  /** Same blocks with the same owners on both sides, and accounts that add up. */
  private agree (): void {
    const [a, b] = this.nodes
    const view = (node: SimNode, mine: string): string[] => [...node.pool.core.blocks.values()]
      .filter((x) => x.purpose === 'app' && (x.state === 'usable' || x.state === 'open')).map((x) => `${x.number}:${x.owner === 'mine' ? mine : mine === 'A' ? 'B' : 'A'}:${x.bytes}`).sort()
    const [va, vb] = [view(a, 'A'), view(b, 'B')]
    const only = (x: string[], y: string[]): string[] => x.filter((e) => !y.includes(e))
    if (va.join() !== vb.join()) this.violations.push(`blocks differ after calm: A only ${only(va, vb).join(' ')}; B only ${only(vb, va).join(' ')}`)
    for (const node of this.nodes) this.balance(node)
  }

  private balance (node: SimNode): void {
    const { core, pending, lane, claims } = node.pool
    core.commit(() => { lane.bookCuts() })
    const { account } = core
    let stock = pending.bytes
    for (const x of core.blocks.values()) {
      const confirmed = x.state === 'usable' || x.state === 'open' || x.state === 'closed'
      if (!confirmed) { stock += x.bytes; continue }
      if (x.owner === 'mine') stock += x.state === 'closed' ? 0 : usableBytes(x) - x.spent
      else stock += usableBytes(x) - (x.purpose === 'app' ? claims.claimedBytes(x.number) : 0)
    }
    const burned = Object.values(account.burned).reduce((x, y) => x + y, 0)
    const sum = stock + account.leased + account.delivered + account.relay + account.authentication + account.confirmation + account.idKeys + burned
    if (sum !== account.ingested) this.violations.push(`accounts of ${node.o.id}: ${account.ingested} ingested, ${sum} accounted (${sum - account.ingested}): ${JSON.stringify(account)}`)
  }

  dispose (): void { (globalThis as any).DEBUG_END?.(this.nodes); for (const node of this.nodes) node.dispose() }
}

/** One run; the same options give the same run. */
export const runModel = async (options: ModelOptions): Promise<ModelResult> => {
  const model = new Model(options)
  try {
    await model.run()
  } catch (error) {
    model.violations.push(`threw: ${error instanceof Error ? error.stack : String(error)}`)
  } finally {
    model.dispose()
  }
  return { seed: options.seed, violations: model.violations, delivered: model.delivered, fetched: model.fetched, log: model.log }
}
