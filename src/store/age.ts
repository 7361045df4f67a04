/** How long a store has been in use: the age that `key_ttl` and its like are measured in. */
import type { Cancel, Clock } from '../kernel/time.js'
import type { Kv } from './kv.js'
import { META } from './meta.js'
import { viewOf } from './numbers.js'

const AHEAD_MS = 60_000

/**
 * Milliseconds of use over all starts. Never goes back: the row in the store runs up to a minute ahead, and a start
 * goes on from there, so that ages err to the old side.
 */
export class StoreAge {
  private readonly baseMs: number
  private readonly startMs: number
  private cancel: Cancel

  constructor (private readonly kv: Kv, private readonly clock: Clock, private readonly onError: (error: unknown) => void) {
    const row = kv.get(META.age)
    this.baseMs = row?.length === 8 ? viewOf(row).getFloat64(0, true) : 0
    this.startMs = clock.monoMs()
    this.save()
    this.cancel = this.plan()
  }

  ageMs (): number { return this.baseMs + this.clock.monoMs() - this.startMs }

  close (): void { this.cancel() }

  private save (): void {
    const row = new Uint8Array(8)
    viewOf(row).setFloat64(0, this.ageMs() + 2 * AHEAD_MS, true)
    this.kv.transact((tx) => { tx.put(META.age, row) })
  }

  private plan (): Cancel {
    return this.clock.after(AHEAD_MS, () => {
      try {
        this.save()
        this.kv.flushed().catch(this.onError)
      } catch (error) { this.onError(error) }
      this.cancel = this.plan()
    })
  }
}
