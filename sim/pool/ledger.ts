import type { Answer, GotKey } from '../sae-answer.js'
import { Units } from './units.js'

/** An SAE and the node (by index) that serves it. */
export interface Party { readonly sae: string, readonly home: number }

interface Given {
  readonly key: string
  readonly master: Party
  readonly slaves: readonly Party[]
  readonly atMs: number
  /** The KMEs owe this key to its slaves: nothing has happened since that takes stock away. */
  isOwed: boolean
  /** Slaves that have it, and slaves whose request was never answered (it counts as delivered, or not). */
  readonly fetched: Set<string>
  readonly unanswered: Set<string>
  /** The slave's store was restored since: it may deliver once more (I5). */
  mayComeAgain: boolean
  readonly extension: unknown
  /** Slaves that must not get it any more: it was made void before this time, and their KME knows. */
  readonly voidedMs: Map<string, number>
}

/** A key that was given, as operators' acts are about it. */
export type GivenKey = Pick<Given, 'master' | 'slaves' | 'atMs'> & { readonly id: string }

/** What was told of a key's way. Its age is of the moment in which each is told. */
const wayOf = (extension: unknown): string => JSON.stringify({ ...extension as object, qkme_age_ms: undefined, qkme_hops: undefined })

/** Of an answer whose keys came over different numbers of links none is told. */
const isSameWay = (a: unknown, b: unknown): boolean => {
  const [mine, other] = [a, b].map((extension) => (extension as { qkme_hops?: number } | undefined)?.qkme_hops)
  return wayOf(a) === wayOf(b) && (mine === undefined || other === undefined || mine === other)
}

/** Whether an answer says that nobody between knew its bits. */
const hidden = (extension: unknown): boolean => {
  const { qkme_paths: paths = 0, qkme_hybrid: isHybrid = false } = (extension ?? {}) as { qkme_paths?: number, qkme_hybrid?: boolean }
  return isHybrid || paths > 1
}

/** What 8 bytes of key were used for, '' if for nothing yet, and, if they travelled as the bits of a relayed share, the homes between which they may become key. */
interface Unit { readonly use: string, readonly between: readonly [number, number] | undefined }

export interface Fetch { readonly id: string, readonly caller: Party, readonly master: string }

/**
 * The model's own book of every key that any SAE ever got: no byte twice (I1), equal bytes for equal IDs and nobody else's
 * (I3), once for each slave (I4), and what was issued can be fetched (design 3.7, 3.8). Knows nothing of blocks.
 */
export class Ledger {
  readonly violations: string[] = []
  delivered = 0
  fetched = 0
  /** Refusals by code: tells a run that tests nothing from one that does. */
  readonly refusals = new Map<string, number>()
  private readonly given = new Map<string, Given>()
  /** Every 8-byte unit handed to a master, or seen on a line. */
  private readonly units = new Units<Unit>()
  private ids: string[] = []
  /** Of operators' acts that not every KME knows of: keys of these may come too late. */
  private readonly meant = new Set<(key: GivenKey) => boolean>()
  /** Homes whose store may be another one. */
  private readonly doubtful = new Set<number>()

  constructor (private readonly nowMs: () => number, private readonly fetchTtlMs: () => number) {}

  fault (what: string): void { this.violations.push(what) }

  /** Stock of these homes may be void from here on (a restored store, a new one, an operator): what was issued is not owed any more, nor what is issued until `sure`. */
  doubt (homes: readonly number[] = [0, 1]): void {
    for (const home of homes) this.doubtful.add(home)
    for (const g of this.given.values()) if ([g.master, ...g.slaves].some((party) => this.doubtful.has(party.home))) g.isOwed = false
  }

  /** Both KMEs have met since the last doubt. */
  sure (homes: readonly number[] = [0, 1]): void {
    if (homes.every((home) => !this.doubtful.has(home))) return
    this.doubt(homes)
    for (const home of homes) this.doubtful.delete(home)
  }

  /** The store of a node became an older one: what was claimed there since may be claimed again, by the same slave. */
  forgave (home: number): void {
    for (const g of this.given.values()) if (g.slaves.some((s) => s.home === home)) g.mayComeAgain = true
  }

  // --- to masters ---------------------------------------------------------------------------------------------------

  gave (master: Party, slaves: readonly Party[], number: number, sizeBits: number, answer: Answer): void {
    if ('refusal' in answer) { this.refused(answer.refusal.code); return }
    if (answer.keys.length !== number) this.fault(`${master.sae} asked for ${number} keys and got ${answer.keys.length}`)
    for (const key of answer.keys) this.book(key, master, slaves, sizeBits)
  }

  private book ({ id, key, extension }: GotKey, master: Party, slaves: readonly Party[], sizeBits: number): void {
    this.delivered++
    const bytes = Buffer.from(key, 'base64')
    if (bytes.length * 8 !== sizeBits) this.fault(`key ${id} has ${bytes.length * 8} bits, not ${sizeBits}`)
    if (this.given.has(id)) this.fault(`key_ID ${id} was given before`)
    const homes = new Set(slaves.map((s) => s.home).filter((home) => home !== master.home)).size
    const who = `${id} (${master.sae} to ${slaves.map((s) => s.sae).join()})`
    let before = ''
    this.units.each(bytes, (known, put) => {
      const ends = known?.between
      if (ends !== undefined && !(ends.includes(master.home) && ends.every((end) => end === master.home || slaves.some((s) => s.home === end)))) this.fault(`bytes of ${who} were sent as a share between others`)
      if (ends !== undefined && homes === 1 && hidden(extension)) this.fault(`bytes of ${id} were known to the nodes between, though it is said to be ${JSON.stringify(extension)}`)
      if (known !== undefined && known.use !== '') before ||= known.use
      else put({ use: id, between: ends })
    })
    if (before !== '') { this.fault(`bytes of ${who} were given before as ${before}`); return }
    const atMs = this.nowMs(), isSure = ![master, ...slaves].some((party) => this.doubtful.has(party.home))
    const isOwed = isSure && ![...this.meant].some((isMeant) => isMeant({ id, master, slaves, atMs }))
    this.given.set(id, { key, master, slaves, atMs, isOwed, fetched: new Set(), unanswered: new Set(), mayComeAgain: false, extension, voidedMs: new Map() })
    this.ids.push(id)
  }

  // --- operators' acts -----------------------------------------------------------------------------------------------

  /** An operator makes keys void: those are not owed any more, nor any such that are given until the act is known. @returns those given so far, and how to say that it is. */
  revoke (isMeant: (key: GivenKey) => boolean): { readonly keys: GivenKey[], readonly known: () => void } {
    const keys: GivenKey[] = []
    for (const [id, g] of this.given) {
      if (!isMeant({ id, ...g })) continue
      g.isOwed = false
      keys.push({ id, master: g.master, slaves: g.slaves, atMs: g.atMs })
    }
    this.meant.add(isMeant)
    return { keys, known: () => { this.meant.delete(isMeant) } }
  }

  /** Who asks for this key from now on and is meant must not get it. */
  forbid (id: string, isMeant: (slave: Party) => boolean): void {
    const g = this.given.get(id)
    for (const slave of g?.slaves ?? []) if (isMeant(slave) && !g!.voidedMs.has(slave.sae)) g!.voidedMs.set(slave.sae, this.nowMs())
  }

  /** A store of that node became an older one: what operators said may be forgotten there, until it is void itself. */
  allow (home: number): void { for (const g of this.given.values()) for (const { sae, home: at } of g.slaves) if (at === home) g.voidedMs.delete(sae) }

  isGiven (id: string): boolean { return this.given.has(id) }

  // --- to the relay -------------------------------------------------------------------------------------------------

  /** Bytes of a lane that hid others on a line: they may be nothing else, ever. @param use For people. */
  spent (bytes: Uint8Array, use: string): void { this.mark(bytes, use, { use, between: undefined }) }

  /** Bytes of a lane that a job carries on: they may become key of these two homes, once, and nothing else. */
  carries (bytes: Uint8Array, between: readonly [number, number], use: string): void { this.mark(bytes, use, { use: '', between }) }

  private mark (bytes: Uint8Array, use: string, unit: Unit): void {
    this.units.each(bytes, (known, put) => {
      if (known === undefined) put(unit)
      else this.fault(`bytes of ${use} were used before for ${known.use === '' ? 'a share' : known.use}`)
    })
  }

  // --- to slaves ----------------------------------------------------------------------------------------------------

  /** IDs, newest first, that the slave has not got yet. At most `count`, of one master and one slave, as one request. */
  waiting (count: number, skip: number): { readonly ids: string[], readonly caller: Party, readonly master: string } | undefined {
    const ids: string[] = []
    let caller: Party | undefined, master = ''
    for (let i = this.ids.length - 1; i >= 0 && ids.length < count; i--) {
      const id = this.ids[i]!
      const g = this.given.get(id)!
      if (caller !== undefined && (g.master.sae !== master || !g.slaves.some((s) => s.sae === caller!.sae))) continue
      const slave = caller ?? g.slaves.find((s) => !g.fetched.has(s.sae))
      if (slave === undefined || g.fetched.has(slave.sae)) continue
      if (skip-- > 0) continue
      caller = slave
      master = g.master.sae
      ids.push(id)
    }
    return caller === undefined ? undefined : { ids, caller, master }
  }

  /** What slaves have a right to now, by slave and master, in requests of at most `most` IDs. */
  due (most: number): { readonly caller: Party, readonly master: string, readonly ids: readonly string[] }[] {
    const open = new Map<string, { caller: Party, master: string, ids: string[] }>(), all: { caller: Party, master: string, ids: string[] }[] = []
    for (const id of this.ids) {
      const { master: { sae: master }, slaves } = this.given.get(id)!
      for (const caller of slaves) {
        if (!this.isDue(id, caller, master)) continue
        const name = `${caller.sae} ${master}`
        let request = open.get(name)
        if (request === undefined || request.ids.length >= most) {
          open.set(name, request = { caller, master, ids: [] })
          all.push(request)
        }
        request.ids.push(id)
      }
    }
    return all
  }

  /** Any ID ever given, with its audience. */
  any (index: number): { readonly id: string, readonly master: Party, readonly slaves: readonly Party[] } | undefined {
    const id = this.ids[index % Math.max(1, this.ids.length)]
    if (id === undefined) return undefined
    const { master, slaves } = this.given.get(id)!
    return { id, master, slaves }
  }

  get count (): number { return this.ids.length }

  /** A request is on its way. Until it is answered nobody knows whether it counts. */
  asked (ids: readonly string[], caller: Party): void { for (const id of ids) this.given.get(id)?.unanswered.add(caller.sae) }

  /** @param wasAsked Unanswered requests before this one: then a refusal proves nothing. */
  got (ids: readonly string[], caller: Party, master: string, hadUnanswered: boolean, answer: Answer, askedMs = this.nowMs()): void {
    if ('refusal' in answer) {
      const { code } = answer.refusal
      this.refused(`dec ${code}`)
      if (!hadUnanswered) for (const id of ids) this.given.get(id)?.unanswered.delete(caller.sae)
      if ((code === 'KEYS_NOT_FOUND' || code === 'UNAUTHORIZED') && !hadUnanswered && ids.every((id) => this.isDue(id, caller, master))) {
        this.fault(`${caller.sae} was issued ${ids[0]!}${ids.length > 1 ? ` and ${ids.length - 1} more` : ''} by ${master} and is refused: ${code}`)
      }
      return
    }
    const isOneWay = new Set(ids.map((id) => wayOf(this.given.get(id)?.extension))).size === 1 // Else the answer cannot tell one for all.
    answer.keys.forEach((k, i) => { this.take(k, ids[i]!, caller, master, askedMs, isOneWay) })
  }

  private take (k: GotKey, id: string, caller: Party, master: string, askedMs: number, isOneWay: boolean): void {
    const g = this.given.get(id)
    if (k.id !== id) this.fault(`asked for ${id}, got ${k.id}`)
    if (g === undefined) { this.fault(`a key for ${id}, which was never given`); return }
    if (k.key !== g.key) this.fault(`key ${id} has other bytes at ${caller.sae}`)
    if (g.master.sae !== master || !g.slaves.some((s) => s.sae === caller.sae)) this.fault(`key ${id} of ${g.master.sae} went to ${caller.sae} who named ${master}`)
    if (g.fetched.has(caller.sae) && !g.mayComeAgain) this.fault(`key ${id} was fetched twice by ${caller.sae}`)
    if ((g.voidedMs.get(caller.sae) ?? Infinity) < askedMs) this.fault(`key ${id}, which was made void, went to ${caller.sae}`)
    if (isOneWay && new Set(g.slaves.map((s) => s.home)).size === 1 && !isSameWay(k.extension, g.extension)) this.fault(`of key ${id} ${g.master.sae} was told ${JSON.stringify(g.extension)}, ${caller.sae} ${JSON.stringify(k.extension)}`)
    g.fetched.add(caller.sae)
    g.unanswered.delete(caller.sae)
    this.fetched++
  }

  hasUnanswered (ids: readonly string[], caller: Party): boolean { return ids.some((id) => this.given.get(id)?.unanswered.has(caller.sae) === true) }

  /** The slave has a right to it now. */
  private isDue (id: string, caller: Party, master: string): boolean {
    const g = this.given.get(id)
    return g !== undefined && g.isOwed && g.master.sae === master && g.slaves.some((s) => s.sae === caller.sae) && !g.fetched.has(caller.sae) && this.nowMs() - g.atMs < this.fetchTtlMs() - 1_000
  }

  private refused (code: string): void { this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1) }
}
