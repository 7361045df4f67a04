import type { Clock } from '../src/kernel/time.js'
import type { Incarnation } from '../src/pool/ports.js'
import type { SimRandom } from './random.js'
import type { SimKv } from './store.js'

const STARTS_KEPT = 64
interface Stored { readonly id: string, readonly starts: readonly (readonly [number, string])[], readonly ageMs: number }

/**
 * Who a simulated store is: its ID, its starts and its clock of use. It lies on the simulated disk, as src/store/open.ts has it
 * on a real one, so that a copy that comes back brings back what it was.
 */
export class SimIdentity {
  private starts: { readonly number: number, readonly nonce: Uint8Array }[] = []
  private ageBaseMs = 0
  private startedMs = 0

  /** @param storeId The ID of an empty disk. */
  constructor (private readonly clock: Clock, private readonly random: SimRandom, public storeId: Uint8Array = random.bytes(16)) {}

  /** A process starts. @param isDisowned The stamp is not its own: it takes a new ID, as src/store does with a copy. */
  begin (kv: SimKv, isDisowned: boolean): Incarnation {
    const stored = kv.get(['store'])
    this.starts = []
    if (stored !== undefined) {
      const state = JSON.parse(Buffer.from(stored).toString()) as Stored
      this.storeId = Buffer.from(state.id, 'hex')
      this.starts = state.starts.map(([number, nonce]) => ({ number, nonce: Buffer.from(nonce, 'hex') }))
      this.ageBaseMs = state.ageMs
    }
    if (isDisowned) this.storeId = this.random.bytes(16)
    const me = { number: (this.starts.at(-1)?.number ?? 0) + 1, nonce: this.random.bytes(16) }
    const starts = this.starts = [...this.starts.slice(-STARTS_KEPT), me]
    this.startedMs = this.clock.monoMs()
    return { storeId: this.storeId, ...me, known: (n, nonce) => starts.some((s) => s.number === n && Buffer.from(s.nonce).equals(nonce)) }
  }

  /** Milliseconds of use, over all starts. */
  ageMs (): number { return this.ageBaseMs + this.clock.monoMs() - this.startedMs }

  /** At the start, and now and then: the age must not fall far back. */
  save (kv: SimKv): void {
    const state: Stored = { id: Buffer.from(this.storeId).toString('hex'), starts: this.starts.map((s) => [s.number, Buffer.from(s.nonce).toString('hex')]), ageMs: this.ageMs() }
    kv.transact((tx) => { tx.put(['store'], Buffer.from(JSON.stringify(state))) })
  }

  /** Another machine takes the place of the old one, with an empty disk. */
  forget (): void {
    this.storeId = this.random.bytes(16)
    this.ageBaseMs = 0
  }
}
