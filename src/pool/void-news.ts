import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import type { PoolEvent } from './ports.js'
import { decodeRow, encodeRow, tableOf, voidNewsKey } from './rows.js'

type Voided = Extract<PoolEvent, { type: 'keys.voided' }>

/**
 * What the other KME voided, on its way to this KME's other pools: keys of one pool may have been granted over others. The other KME takes
 * the act for done once its message is durable here, so that the way from there on is on disk too, and gone again after a power cut.
 */
export class VoidNews {
  private last = 0
  private readonly left = new Map<number, Voided>()

  constructor (private readonly core: PoolCore) {
    for (const { key, value } of core.deps.kv.range(tableOf('voidNews', core.pool))) {
      this.last = key[2] as number
      const news = decodeRow<Voided>(value)
      this.left.set(this.last, { ...news, spread: { ...news.spread, associations: news.spread.associations ?? [] } }) // An earlier release wrote none.
    }
  }

  /** In the transaction of the message. @returns what follows when it is durable. */
  add (tx: KvWriter, news: Voided): () => void {
    const number = ++this.last
    tx.put(voidNewsKey(this.core.pool, number), encodeRow(news))
    return () => { this.tell(number, news) }
  }

  /** Tells what a power cut left; at the first tick, when all pools are there. */
  goOn (): void {
    for (const [number, news] of this.left) {
      this.left.delete(number)
      this.tell(number, news)
    }
  }

  /** Whoever hears it writes before this row goes: the store keeps the order. */
  private tell (number: number, news: Voided): void {
    const { core } = this
    core.deps.emit(news)
    core.commit((tx) => { tx.remove(voidNewsKey(core.pool, number)) })
  }
}
