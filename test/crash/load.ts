/** Load in both directions from several SAEs, through crashes: masters take keys, slaves fetch them, all is written down. */
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { pause } from '../e2e/process.js'
import { idsOf, keysOf, type Reply, type Sae } from '../e2e/sae.js'
import type { Ledger } from './ledger.js'

const SIZES_BITS = [64, 128, 256, 256, 256, 1_024, 8_192]
/** A batch whose fetch got no answer is asked for again for so long: by time, because a KME that starts on a slow machine refuses many connections. */
const FETCHING_MS = 90_000

interface Batch { readonly ids: readonly string[], /** A fetch ended without an answer: it may have counted. */ doubtful: boolean, tries: number, readonly sinceMs: number }

/** One master and its slave, at the two sites of one world. */
export class Pair {
  private stopped = false
  private readonly open: Batch[] = []
  private readonly done: Promise<unknown>
  answers = 0
  refusals = 0
  broken = 0

  constructor (private readonly master: Sae, private readonly slave: Sae, private readonly ledger: Ledger, private readonly restMs: number) {
    this.done = Promise.all([this.take(), this.fetch()])
  }

  /** Takes no more; resolves when everything that was taken is fetched or given up. */
  async stop (): Promise<void> {
    this.stopped = true
    await this.done
  }

  private async take (): Promise<void> {
    while (!this.stopped) {
      const number = 1 + systemRandom.integer(12)
      const reply = await this.ask(() => this.master.enc(this.slave.id, { number, size: SIZES_BITS[systemRandom.integer(SIZES_BITS.length)]! }))
      if (reply?.status === 200) {
        const keys = keysOf(reply)
        if (keys.length !== number) this.ledger.faults.push(`asked for ${number} keys, got ${keys.length}`)
        this.ledger.cut(this.master.id, keys)
        this.open.push({ ids: idsOf(keys), doubtful: false, tries: 0, sinceMs: systemClock.monoMs() })
        this.answers++
      } else if (reply !== undefined && reply.status !== 503 && reply.status !== 400) this.ledger.faults.push(`enc_keys: ${reply.status} ${reply.text}`)
      await pause(reply?.status === 200 ? this.restMs : 50)
    }
  }

  private async fetch (): Promise<void> {
    while (!this.stopped || this.open.length > 0) {
      const batch = this.open.shift()
      if (batch === undefined) { await pause(10); continue }
      await this.fetchOne(batch)
    }
  }

  private async fetchOne (batch: Batch): Promise<void> {
    const reply = await this.ask(() => this.slave.dec(this.master.id, batch.ids))
    if (reply?.status === 200) { this.ledger.served(this.slave.id, batch.ids, keysOf(reply)); return }
    if (reply === undefined) batch.doubtful = true
    else if (reply.status === 400 && !batch.doubtful) {
      this.ledger.refused += batch.ids.length
      this.ledger.faults.push(`dec_keys of ${batch.ids.join(' ')} by ${this.slave.id}, try ${batch.tries + 1}: ${reply.text}`)
      return
    } else if (reply.status === 400) return // An earlier try may have counted as delivered.
    else if (reply.status !== 503) { this.ledger.faults.push(`dec_keys: ${reply.status} ${reply.text}`); return }
    batch.tries++
    if (systemClock.monoMs() - batch.sinceMs > FETCHING_MS) { this.ledger.faults.push(`keys were not fetchable for ${FETCHING_MS / 1_000} s, ${batch.tries} tries: ${String(reply?.status)}`); return }
    this.open.push(batch)
    await pause(50)
  }

  /** The answer, or undefined if the connection broke. */
  private async ask (call: () => Promise<Reply>): Promise<Reply | undefined> {
    try {
      const reply = await call()
      if (reply.status !== 200) this.refusals++
      return reply
    } catch {
      this.broken++ // The KME was killed: what it did with the request is unknown.
      return undefined
    }
  }
}
