import type { SimRandom } from '../random.js'
import type { Ledger, Party } from './ledger.js'

/** IDs of one request, at most. */
const IDS_MAX = 128

/** What the SAEs of a model do with key_IDs: fetch them, fetch them again, and try those of others. The ledger judges every answer. */
export class Fetches {
  /** @param send One request of a slave, at its own KME. */
  constructor (
    private readonly random: SimRandom, private readonly ledger: Ledger, private readonly parties: readonly Party[],
    private readonly send: (caller: Party, master: string, ids: readonly string[]) => void,
  ) {}

  /** Some that a slave has not got yet. */
  some (): void {
    const found = this.ledger.waiting(this.random.pick([1, 2, 8, 64]), this.random.integer(20))
    if (found !== undefined) this.send(found.caller, found.master, found.ids)
  }

  /** All that slaves have a right to now. */
  all (): void { for (const { caller, master, ids } of this.ledger.due(IDS_MAX)) this.send(caller, master, ids) }

  /** An ID once more, perhaps one that its slave has already. */
  again (): void {
    const any = this.any()
    if (any !== undefined) this.send(this.random.pick(any.slaves), any.master.sae, [any.id])
  }

  /** Somebody who has no right to an ID, or names the wrong master, perhaps at a KME that relayed it. */
  steal (): void {
    const any = this.any()
    if (any === undefined) return
    const caller = this.random.pick(this.parties), master = this.random.chance(0.5) ? any.master : this.random.pick(this.parties)
    if (caller.sae !== master.sae) this.send(caller, master.sae, [any.id])
  }

  private any (): ReturnType<Ledger['any']> { return this.ledger.any(this.random.integer(Math.max(1, this.ledger.count))) }
}
