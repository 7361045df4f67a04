/** A token bucket without a timer: at most `burst` at once and `perS` in the long run. */
export class Budget {
  #tokens: number
  #lastMs: number

  constructor (private readonly burst: number, private readonly perS: number, nowMs: number) {
    this.#tokens = burst
    this.#lastMs = nowMs
  }

  /** Takes `amount` if it is there. */
  take (amount: number, nowMs: number): boolean {
    this.#fill(nowMs)
    if (this.#tokens < amount) return false
    this.#tokens -= amount
    return true
  }

  /** Milliseconds until `amount` will be there. */
  waitMs (amount: number, nowMs: number): number {
    this.#fill(nowMs)
    return this.#tokens >= amount ? 0 : Math.ceil((amount - this.#tokens) / this.perS * 1_000)
  }

  #fill (nowMs: number): void {
    this.#tokens = Math.min(this.burst, this.#tokens + Math.max(0, nowMs - this.#lastMs) / 1_000 * this.perS)
    this.#lastMs = nowMs
  }
}

/** One bucket per name; what has not been used for long is full again and forgotten. At most `namesMax` names. */
export class Budgets<K> {
  readonly #of = new Map<K, Budget>()

  constructor (private readonly burst: number, private readonly perS: number, private readonly namesMax: number) {}

  take (name: K, amount: number, nowMs: number): boolean {
    let budget = this.#of.get(name)
    if (budget === undefined) budget = new Budget(this.burst, this.perS, nowMs)
    else this.#of.delete(name)
    this.#of.set(name, budget) // Last used, last in order.
    if (this.#of.size > this.namesMax) this.#of.delete(this.#of.keys().next().value as K)
    return budget.take(amount, nowMs)
  }
}
