import type { KmeId } from '../../../src/kernel/ids.js'
import type { VoidOrder, VoidResult } from '../../../src/pool/void-desk.js'
import type { VoidAct } from '../../../src/pool/voids.js'
import type { GivenKey, Ledger, Party } from '../../pool/ledger.js'
import type { SimRandom } from '../../random.js'
import type { MeshKme } from '../kme.js'

/** What an order means for one key: nothing, or which slaves must not get it when everybody who was told knows (`told`), and when all that follows from it is done (`spread`). */
interface Meaning { told (slave: Party): boolean, spread (slave: Party): boolean }
interface Open {
  readonly kme: KmeId, readonly act: VoidAct, readonly result: VoidResult, readonly keys: readonly GivenKey[], readonly known: () => void
  readonly meaning: (key: GivenKey) => Meaning | undefined
  isFlushed: boolean, isKnown: boolean
}

const nobody = (): boolean => false
const all = (): boolean => true
const hasHome = ({ master, slaves }: GivenKey, home: number): boolean => master.home === home || slaves.some((s) => s.home === home)

export interface OrdersHost {
  readonly ledger: Ledger
  readonly kmes: readonly KmeId[]
  at (kme: KmeId): MeshKme
  nowMs (): number
  note (what: string): void
}

/** What operators do: keys void by ID, by SAE, by time; pools on hold. And what may not happen afterwards. */
export class Orders {
  private readonly acts: Open[] = []
  private given = 0
  /** Pools on hold, "here there", since they are so on disk. */
  private readonly held = new Map<string, number>()

  constructor (private readonly host: OrdersHost, private readonly random: SimRandom) {}

  /** Acts that were begun. */
  get count (): number { return this.acts.length }

  // --- voids --------------------------------------------------------------------------------------------------------

  void (kme: KmeId): void {
    const { host, random } = this, { ledger } = host
    if (host.at(kme).process === undefined || ledger.count === 0) return
    const home = host.kmes.indexOf(kme), any = (): ReturnType<Ledger['any']> & object => ledger.any(random.integer(ledger.count))!
    const peer = random.chance(0.5) ? random.pick(host.kmes.filter((other) => other !== kme)) : undefined
    const one = any(), fresh = ledger.waiting(8, random.integer(4))?.ids ?? [one.id]
    const order: VoidOrder = random.pick<() => VoidOrder>([
      () => ({ ids: [...new Set([any().id, ...fresh])] }),
      () => ({ sae: random.pick([one.master, ...one.slaves]).sae }),
      () => ({ peer, fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }),
    ])()
    this.carryOut(kme, home, order)
  }

  private carryOut (kme: KmeId, home: number, order: VoidOrder): void {
    const { host } = this, node = host.at(kme), { process } = node
    const act = { id: (++this.given).toString(16).padStart(32, '0'), reason: 'a run of the model' }
    host.note(`void at ${kme}: ${JSON.stringify(order)}`)
    const isMeant = this.isMeant(home, order), { keys, known } = host.ledger.revoke(isMeant)
    const granted = 'sae' in order ? node.grantedIds : new Set<string>(), result = node.void(act, order)
    if (result === undefined) return
    const open: Open = { kme, act, result, keys, known, meaning: this.meaningOf(home, order, new Set(result.unknown), granted), isFlushed: false, isKnown: false }
    this.acts.push(open)
    process!.kv.flushed().then(() => { open.isFlushed = true }).catch(() => {}) // A disk that fails ends the process: then nobody knows.
  }

  /** Every key that the order may touch: those are not owed. */
  private isMeant (home: number, order: VoidOrder): (key: GivenKey) => boolean {
    if ('ids' in order) return ({ id }) => order.ids.includes(id)
    if ('sae' in order) return (key) => hasHome(key, home) && [key.master, ...key.slaves].some((party) => party.sae === order.sae)
    const peer = order.peer === undefined ? undefined : this.host.kmes.indexOf(order.peer)
    return (key) => hasHome(key, home) && (peer === undefined || hasHome(key, peer))
  }

  /** Never more than the order says: which slaves it takes the key from. */
  private meaningOf (home: number, order: VoidOrder, unknown: ReadonlySet<string>, granted: ReadonlySet<string>): (key: GivenKey) => Meaning | undefined {
    const here = (slave: Party): boolean => slave.home === home
    if ('ids' in order) return ({ id, master }) => unknown.has(id) ? undefined : { told: master.home === home ? all : here, spread: all }
    if ('sae' in order) {
      return ({ id, master, slaves }) => {
        const party = [master, ...slaves].find((one) => one.sae === order.sae), first = slaves.find((s) => s.home !== master.home)?.home
        if (party === undefined) return undefined
        // Associations and grants say who takes part. A grant that is over already is void for its own slaves.
        if (master.home === home) return party.home === home || party.home === first || granted.has(id) ? { told: all, spread: all } : { told: (slave) => slave === party, spread: (slave) => slave === party }
        if (party !== master && party.home !== home) return undefined
        return home === first || granted.has(id) ? { told: here, spread: all } : undefined
      }
    }
    const peer = order.peer === undefined ? undefined : this.host.kmes.indexOf(order.peer)
    return ({ master, slaves }) => {
      const first = slaves.find((s) => s.home !== master.home)?.home // The pool with its KME is the one that the keys are cut from.
      if (master.home === home) {
        const which = peer === undefined || peer === first ? all : (slave: Party): boolean => slave.home === peer
        return { told: which, spread: which }
      }
      return peer !== undefined && peer !== master.home ? { told: nobody, spread: nobody } : { told: here, spread: first === home ? all : here }
    }
  }

  /** Each step: what everybody knows now that was told. */
  check (): void {
    for (const open of this.acts) {
      if (open.isKnown || !open.isFlushed || !this.host.at(open.kme).isVoided(open.act, open.result)) continue
      open.isKnown = true
      open.known()
      this.forbid(open, 'told')
    }
  }

  /** After calm. @returns the keys that slaves must not get, to try them once more. */
  spread (): GivenKey[] {
    for (const open of this.acts) if (open.isFlushed) this.forbid(open, 'spread')
    return this.acts.filter((open) => open.isFlushed).flatMap((open) => open.keys)
  }

  private forbid ({ keys, meaning }: Open, when: 'told' | 'spread'): void {
    for (const key of keys) {
      const which = meaning(key)
      if (which !== undefined) this.host.ledger.forbid(key.id, (slave) => which[when](slave))
    }
  }

  // --- holds --------------------------------------------------------------------------------------------------------

  /** All pools with one other KME. @returns its name and what ends it; undefined if it is not done. */
  hold (kme: KmeId): { readonly peer: KmeId, readonly release: () => void } | undefined {
    const { host, random } = this, { process } = host.at(kme)
    if (process === undefined) return undefined
    const peer = random.pick([...new Set(process.allPools.map((pool) => pool.core.deps.remote))]), name = `${kme} ${peer}`
    host.note(`${kme} holds its pools with ${peer}`)
    if (!this.put(kme, peer, 'a run of the model')) return undefined
    const isStillHeld = (): boolean => process.alive && process.allPools.every((pool) => pool.core.deps.remote !== peer || pool.holds.here !== '') // A slow disk: it may be released before.
    process.kv.flushed().then(() => { if (isStillHeld()) this.held.set(name, host.nowMs()) }).catch(() => {})
    return { peer, release: () => { this.release(kme, peer) } }
  }

  private release (kme: KmeId, peer: KmeId): void {
    this.held.delete(`${kme} ${peer}`)
    this.put(kme, peer, '')
  }

  private put (kme: KmeId, peer: KmeId, reason: string): boolean {
    const { process } = this.host.at(kme)
    process?.run(() => { for (const pool of process.allPools) if (pool.core.deps.remote === peer && pool.holds.here !== reason) pool.holds.hold(reason) })
    return process?.alive === true
  }

  releaseAll (): void {
    for (const kme of this.host.kmes) for (const pool of this.host.at(kme).process?.allPools ?? []) if (pool.holds.here !== '') this.release(kme, pool.core.deps.remote)
  }

  /** Whether a KME has had its pools with another on hold since before that time. */
  isHeld (kme: KmeId, peer: KmeId, beforeMs: number): boolean { return (this.held.get(`${kme} ${peer}`) ?? Infinity) < beforeMs }

  /** An old copy of its store has come back: it may know nothing of what was said since. */
  forget (kme: KmeId): void {
    for (const name of [...this.held.keys()]) if (name.startsWith(`${kme} `)) this.held.delete(name)
    for (const open of this.acts) if (open.kme === kme && !open.isKnown) open.isFlushed = false
  }
}
