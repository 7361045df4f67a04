import type { KmeId, SaeId } from '../kernel/ids.js'

/** Announced SAEs of all KMEs together. */
const CLAIMS_MAX = 2_000_000

/**
 * Which KME serves which SAE. The configuration decides, then this KME's own registry, then who announced it first. A second KME
 * that announces the same SAE is an alarm and gets nothing, until the first takes it back. A KME that is out of reach keeps
 * what it announced: else its SAEs could be taken over by waiting.
 */
export class Locations {
  readonly #own = new Set<SaeId>()
  readonly #of = new Map<KmeId, ReadonlySet<SaeId>>()
  readonly #first = new Map<SaeId, KmeId>()
  readonly #rivals = new Map<SaeId, Set<KmeId>>()
  #claims = 0

  /** @param pins SAE by SAE, what the configuration says. @param onConflict The KME that has it, the one that wants it too. */
  constructor (
    private readonly self: KmeId, private readonly pins: ReadonlyMap<SaeId, KmeId>,
    private readonly onConflict: (sae: SaeId, holder: KmeId, rival: KmeId) => void,
  ) {}

  locate (sae: SaeId): KmeId | undefined {
    return this.pins.get(sae) ?? (this.#own.has(sae) ? this.self : this.#first.get(sae))
  }

  /** What the KME announces and has. */
  saesOf (kme: KmeId): SaeId[] { return [...kme === this.self ? this.#own : this.#of.get(kme) ?? []].filter((sae) => this.locate(sae) === kme) }

  /** KMEs that announced SAEs, and how many. */
  counts (): ReadonlyMap<KmeId, number> { return new Map([[this.self, this.#own.size], ...[...this.#of].map(([kme, saes]) => [kme, saes.size] as const)]) }

  setOwn (saes: readonly SaeId[]): void {
    this.#own.clear()
    for (const sae of saes) {
      const holder = this.pins.get(sae) ?? this.#first.get(sae)
      if (holder !== undefined && holder !== this.self) this.onConflict(sae, this.pins.get(sae) ?? this.self, this.pins.has(sae) ? this.self : holder)
      this.#own.add(sae)
    }
  }

  /** Replaces what the KME announced. @returns whether anything is different. */
  announce (kme: KmeId, saes: readonly SaeId[]): boolean {
    const before = this.#of.get(kme) ?? new Set<SaeId>(), now = new Set(saes)
    if (this.#claims - before.size + now.size > CLAIMS_MAX) return false
    let changed = false
    for (const sae of before) if (!now.has(sae)) { this.#release(sae, kme); changed = true }
    for (const sae of now) if (!before.has(sae)) { this.#claim(sae, kme); changed = true }
    this.#claims += now.size - before.size
    if (now.size === 0) this.#of.delete(kme)
    else this.#of.set(kme, now)
    return changed
  }

  #claim (sae: SaeId, kme: KmeId): void {
    const holder = this.locate(sae)
    if (holder !== undefined && holder !== kme) this.onConflict(sae, holder, kme)
    if (!this.#first.has(sae)) this.#first.set(sae, kme)
    else this.#rivals.set(sae, (this.#rivals.get(sae) ?? new Set()).add(kme))
  }

  #release (sae: SaeId, kme: KmeId): void {
    const rivals = this.#rivals.get(sae)
    if (this.#first.get(sae) !== kme) rivals?.delete(kme)
    else {
      const next = rivals?.values().next().value
      if (next === undefined) this.#first.delete(sae)
      else { this.#first.set(sae, next); rivals!.delete(next) }
    }
    if (rivals?.size === 0) this.#rivals.delete(sae)
  }
}
