/** `perS` tokens flow in each second, up to `burst`. `perS` 0 turns the limit off. */
export interface Rate { readonly perS: number, readonly burst: number }

interface Bucket { tokens: number, atMs: number }

/**
 * Token buckets by name (an SAE, an address). A bucket that nobody uses fills up and is then worth as much as none;
 * so at most `size` are kept, and when there are more the one created first goes.
 */
export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>()

  constructor (private readonly rate: Rate, private readonly size: number) {}

  get on (): boolean { return this.rate.perS > 0 }

  /**
   * Takes `amount` tokens, or none. An amount above the burst passes when the bucket is full and leaves a debt, so
   * that it is slowed down but never shut out.
   *
   * @param nowMs  Monotonic clock.
   * @returns 0 if taken, otherwise the seconds after which it may work.
   */
  take (name: string, amount: number, nowMs: number): number {
    if (this.rate.perS <= 0) return 0
    const bucket = this.#bucket(name, nowMs)
    bucket.tokens = Math.min(this.rate.burst, bucket.tokens + (nowMs - bucket.atMs) * this.rate.perS / 1_000)
    bucket.atMs = nowMs
    const missing = Math.min(amount, this.rate.burst) - bucket.tokens
    if (missing > 0) return missing / this.rate.perS
    bucket.tokens -= amount
    return 0
  }

  /** Puts back what was taken for a request that got nothing. */
  giveBack (name: string, amount: number): void {
    const bucket = this.#buckets.get(name)
    if (bucket !== undefined) bucket.tokens = Math.min(this.rate.burst, bucket.tokens + amount)
  }

  get entries (): number { return this.#buckets.size }

  #bucket (name: string, nowMs: number): Bucket {
    const known = this.#buckets.get(name)
    if (known !== undefined) return known
    if (this.#buckets.size >= this.size) {
      const first = this.#buckets.keys().next()
      if (first.done !== true) this.#buckets.delete(first.value)
    }
    const bucket = { tokens: this.rate.burst, atMs: nowMs }
    this.#buckets.set(name, bucket)
    return bucket
  }
}
