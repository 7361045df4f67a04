import type { Config } from '../config/schema.js'
import type { KmeId, SaeId } from '../kernel/ids.js'
import type { SaePolicy } from '../pool/service-ports.js'
import { getSae, listSaes, saeGeneration, type SaeStatus } from '../store/saes.js'
import { prefixRange, type Kv } from '../store/kv.js'

const ANY = '*'
const SAES_PER_ROW = 512
/** What a neighbour last announced, in rows of so many SAEs: JSON arrays. */
const ANNOUNCED = 'announced'

/**
 * Which KME serves which SAE, and who may share keys with whom. Sources in this order: the configuration, this KME's
 * registry, what neighbours announce. An SAE that two KMEs claim stays with the first, and an alarm is raised.
 * Announcements are kept over restarts: keys that were handed out stay fetchable while the neighbour is away.
 */
export class SaeDirectory implements SaePolicy {
  readonly confidentialNames: boolean
  private readonly pinned = new Map<SaeId, KmeId>()
  private readonly configured: ReadonlySet<SaeId>
  private readonly own = new Set<SaeId>()
  /** `own` as a list, of this generation; undefined: to be made. */
  private list: readonly SaeId[] | undefined
  private readonly announcedBy = new Map<KmeId, Set<SaeId>>()
  private readonly remote = new Map<SaeId, KmeId>()
  private readonly rules: { master: string, slave: string, allow: boolean }[]
  private readonly decisions = new Map<string, boolean>()
  private generation = 1

  constructor (private readonly config: Config, private readonly kv: Kv, private readonly onConflict: (sae: SaeId, first: KmeId, second: KmeId) => void) {
    this.confidentialNames = config.rest.confidentialNames
    this.rules = config.policy.pairs.map((p) => ({ ...p }))
    for (const { id, kme } of config.saes) if (kme !== undefined && kme !== config.kme.id) this.pinned.set(id, kme)
    this.configured = new Set(config.saes.filter((s) => s.kme === undefined || s.kme === config.kme.id).map((s) => s.id))
    for (const id of this.configured) this.own.add(id)
    for (const { id, status } of listSaes(kv)) this.decide(id, status)
    this.generation = saeGeneration(kv) + 1
    for (const kme of this.keptKmes()) this.take(kme, this.kept(kme))
  }

  /** The registry says something else of an SAE. One that was removed is served here no more: it may have moved to another KME. */
  changed (id: SaeId): void {
    this.decide(id, getSae(this.kv, id)?.status)
    this.generation = saeGeneration(this.kv) + 1
    this.list = undefined
  }

  private decide (id: SaeId, status: SaeStatus | undefined): void {
    const isOwn = status === undefined || status === 'requested' ? this.configured.has(id) : status !== 'revoked'
    if (isOwn) this.own.add(id)
    else this.own.delete(id)
  }

  whereIs (sae: SaeId): KmeId | undefined {
    if (this.own.has(sae)) return this.config.kme.id
    return this.pinned.get(sae) ?? this.remote.get(sae)
  }

  /** Another KME that serves the SAE, by configuration or its own word, while it is not one of ours. */
  elsewhere (sae: SaeId): KmeId | undefined { const kme = this.whereIs(sae); return kme === this.config.kme.id ? undefined : kme }

  ownSaes (): { generation: number, saes: readonly SaeId[] } { return { generation: this.generation, saes: this.list ??= [...this.own] } }

  /** Every list that was announced, as it stands. */
  remembered (): Iterable<readonly [KmeId, readonly SaeId[]]> { return [...this.announcedBy].map(([kme, saes]) => [kme, [...saes]] as const) }

  /** A KME said which SAEs it serves, a neighbour itself or another through the network: replaces what it said before. Called outside of transactions. */
  announced (kme: KmeId, saes: readonly SaeId[]): void {
    const before = this.announcedBy.get(kme) ?? new Set()
    const isNews = saes.length !== before.size || saes.some((sae) => !before.has(sae))
    this.take(kme, saes)
    if (isNews) this.keep(kme, saes)
  }

  private take (kme: KmeId, saes: readonly SaeId[]): void {
    for (const sae of this.announcedBy.get(kme) ?? []) if (this.remote.get(sae) === kme) this.remote.delete(sae)
    this.announcedBy.set(kme, new Set(saes))
    for (const sae of saes) {
      const known = this.whereIs(sae)
      if (known === undefined) this.remote.set(sae, kme)
      else if (known !== kme) this.onConflict(sae, known, kme)
    }
  }

  private keep (kme: KmeId, saes: readonly SaeId[]): void {
    this.kv.transact((tx) => {
      for (const key of [...this.kv.keys(prefixRange([ANNOUNCED, kme]))]) tx.remove(key)
      for (let at = 0; at < saes.length; at += SAES_PER_ROW) {
        tx.put([ANNOUNCED, kme, at / SAES_PER_ROW], new TextEncoder().encode(JSON.stringify(saes.slice(at, at + SAES_PER_ROW))))
      }
    })
  }

  private keptKmes (): Set<KmeId> { return new Set([...this.kv.keys(prefixRange([ANNOUNCED]))].map((key) => String(key[1]))) }

  private kept (kme: KmeId): SaeId[] {
    return [...this.kv.range(prefixRange([ANNOUNCED, kme]))].flatMap(({ value }) => JSON.parse(Buffer.from(value).toString()) as SaeId[])
  }

  /** The first rule that fits decides, else the default. Decisions are kept: rules do not change while we run. */
  allowed (master: SaeId, slave: SaeId): boolean {
    if (this.rules.length === 0) return this.config.policy.default === 'allow'
    const key = `${master}\n${slave}`
    const kept = this.decisions.get(key)
    if (kept !== undefined) return kept
    const rule = this.rules.find((r) => (r.master === ANY || r.master === master) && (r.slave === ANY || r.slave === slave))
    const allow = rule?.allow ?? this.config.policy.default === 'allow'
    if (this.decisions.size >= 65_536) this.decisions.clear()
    this.decisions.set(key, allow)
    return allow
  }

  /** Our word on a KME's wish to share keys of its master with our slaves: '' or why not. It cannot speak for an SAE that is known to be elsewhere. */
  admit (from: KmeId, master: SaeId, slaves: readonly SaeId[]): string {
    const home = this.whereIs(master)
    if (home !== undefined && home !== from) return `${master} is served by ${home}, not by ${from}`
    for (const slave of slaves) {
      if (!this.own.has(slave)) return `${slave} is not served here`
      if (!this.allowed(master, slave)) return `${master} may not share keys with ${slave}`
    }
    return ''
  }
}
