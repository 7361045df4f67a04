import { uuidText } from '../../../src/device/formats/uuid.js'
import type { Body } from '../../../src/peer/messages.js'
import type { Ledger, Party } from '../../pool/ledger.js'
import type { Answer } from '../../sae-answer.js'

/** One request for keys with slaves at several KMEs. */
interface Cast { readonly master: Party, readonly slaves: readonly Party[], outcome: 'open' | 'given' | 'refused' }
interface Offered { readonly slaves: Map<string, Party>, readonly casts: readonly Cast[], readonly master: Party }

/** A key that was cut and granted for a request that was refused: nobody may ever get it (docs/multicast.md). */
export interface BurnedKey { readonly id: string, readonly master: Party, readonly slaves: readonly Party[] }

/** Requests with slaves at several KMEs, and the key IDs that go to the further KMEs before the master hears of them: all get a key, or nobody does. */
export class Casts {
  private readonly casts = new Set<Cast>()
  private readonly offers = new Map<string, Offered>()
  constructor (private readonly ledger: Ledger) {}

  /** @returns what takes the answer. */
  begin (master: Party, slaves: readonly Party[]): (answer: Answer) => void {
    const cast: Cast = { master, slaves, outcome: 'open' }
    this.casts.add(cast)
    return (answer) => {
      cast.outcome = 'refusal' in answer ? 'refused' : 'given'
      this.casts.delete(cast)
    }
  }

  /** @param home Of the master, whose KME sends the grant. */
  offered (home: number, { master, slaves, keys }: Body<'namedGrant'>): void {
    const mine = [...this.casts].filter((cast) => cast.master.home === home && cast.master.sae === master && slaves.every((sae) => cast.slaves.some((s) => s.sae === sae)))
    for (const key of keys) {
      const id = uuidText(key)
      let offer = this.offers.get(id)
      if (offer === undefined) this.offers.set(id, offer = { slaves: new Map(), casts: mine, master: { sae: master, home } })
      for (const cast of mine) for (const slave of cast.slaves) offer.slaves.set(slave.sae, slave)
    }
  }

  /** Keys whose request was refused for sure. */
  burned (): BurnedKey[] {
    const burned: BurnedKey[] = []
    for (const [id, { casts, master, slaves }] of this.offers) {
      if (casts.length > 0 && casts.every((cast) => cast.outcome === 'refused') && !this.ledger.isGiven(id)) burned.push({ id, master, slaves: [...slaves.values()] })
    }
    return burned
  }
}
