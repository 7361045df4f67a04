import type { SaeId } from '../kernel/ids.js'
import type { PoolStatus } from '../pool/service.js'
import { statusJson, storedKeys } from './wire.js'

/** Pairs of SAEs whose answer is remembered; when there are more, all are forgotten. */
const SIZE = 8_192
const ZERO = 48

/** An answer as it goes out, and where in it the decimal digits of `stored_key_count` stand. */
interface Answer { readonly status: PoolStatus, readonly bytes: Uint8Array, readonly digitsEnd: number, readonly floor: number, readonly ceiling: number, stored: number }

const COUNT = '"stored_key_count":'

const digitsOf = (n: number): number => String(n).length

/**
 * Bodies of Get status. From one request to the next nothing changes but the stock: so the last answer for a pair of SAEs is
 * kept, and the digits in it are written anew. What differs in anything else is made anew.
 */
export class StatusText {
  readonly #byCaller = new Map<SaeId, Map<SaeId, Answer>>()
  #count = 0

  /** Valid until the next call. */
  bytes (caller: SaeId, slave: SaeId, status: PoolStatus): Uint8Array {
    const stored = storedKeys(status), known = this.#byCaller.get(caller)?.get(slave)
    if (known === undefined || stored < known.floor || stored > known.ceiling || !isAlike(known.status, status)) return this.#make(caller, slave, status, stored)
    if (stored !== known.stored) {
      for (let at = known.digitsEnd, rest = stored; rest > 0 || at === known.digitsEnd; rest = Math.floor(rest / 10)) known.bytes[--at] = ZERO + rest % 10
      known.stored = stored
    }
    return known.bytes
  }

  #make (caller: SaeId, slave: SaeId, status: PoolStatus, stored: number): Uint8Array {
    const json = statusJson(caller, slave, status), bytes = Buffer.from(json), digits = digitsOf(stored)
    if (status.extension !== undefined) return bytes // It tells of stock, too.
    const answer = {
      status, bytes, stored, digitsEnd: json.indexOf(COUNT) + COUNT.length + digits,
      floor: digits === 1 ? 0 : 10 ** (digits - 1), ceiling: 10 ** digits - 1,
    }
    this.#keep(caller, slave, answer)
    return bytes
  }

  #keep (caller: SaeId, slave: SaeId, answer: Answer): void {
    if (this.#count >= SIZE) {
      this.#byCaller.clear()
      this.#count = 0
    }
    let bySlave = this.#byCaller.get(caller)
    if (bySlave === undefined) this.#byCaller.set(caller, bySlave = new Map())
    if (!bySlave.has(slave)) this.#count++
    bySlave.set(slave, answer)
  }
}

/** Whether two differ in stock at most. */
const isAlike = (a: PoolStatus, b: PoolStatus): boolean =>
  a.targetKme === b.targetKme && a.sourceKme === b.sourceKme && a.keySizeBits === b.keySizeBits && a.maxKeyCount === b.maxKeyCount &&
  a.maxKeyPerRequest === b.maxKeyPerRequest && a.maxKeySizeBits === b.maxKeySizeBits && a.minKeySizeBits === b.minKeySizeBits &&
  a.maxSaeIdCount === b.maxSaeIdCount && b.extension === undefined
