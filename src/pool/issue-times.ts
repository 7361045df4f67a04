import type { KvWriter } from '../store/kv.js'
import type { PoolCore } from './core.js'
import { decodeRow, encodeRow, issuedKey, tableOf } from './rows.js'
import { comparePlaces, type LanePlace, type LaneStretch } from './void-rules.js'

/** Marks at most; beyond, every second of the older half goes: then times of old keys are known less exactly, and a void takes more. */
export const MARKS_MAX = 4_096
const MARK_MS = 1_000
/** How long after its issue no KME can serve a key any more, beside `key_ttl` and `fetch_ttl` (design 3.9). */
const MARGIN_MS = 3_600_000

/** The lane's bytes from the mark before up to `place` were given out between `sinceMs` and `untilMs` (wall clock). */
interface Mark { readonly sinceMs: number, readonly untilMs: number, readonly place: LanePlace, readonly ageMs: number }

/**
 * When the bytes of our own lane were given out, to about a second: what a void by time needs, without a row per key. The lane is spent
 * front to back, so a mark is a place and a time; one is made when the cursor has moved. After a crash the mark that follows
 * spans the time from the last one on disk. Rows `['issued', pool, number]`.
 */
export class IssueTimes {
  private readonly marks: { number: number, mark: Mark }[] = []
  /** The last time at which the cursor was seen where the last mark is. */
  private stillMs: number

  constructor (private readonly core: PoolCore) {
    for (const { key, value } of core.deps.kv.range(tableOf('issued', core.pool))) this.marks.push({ number: key[2] as number, mark: decodeRow<Mark>(value) })
    this.stillMs = this.marks.at(-1)?.mark.untilMs ?? core.deps.clock.wallMs()
  }

  private get last (): LanePlace { return this.marks.at(-1)?.mark.place ?? { index: 0, offset: 0 } }

  /** Looks at the cursor. Cheap while it stands still; a row at most once a second. */
  tick (cursor: LanePlace): void {
    const nowMs = this.core.deps.clock.wallMs(), order = comparePlaces(cursor, this.last)
    if (order < 0) this.core.commit((tx) => { this.takeBack(tx, cursor) })
    if (order <= 0) { this.stillMs = nowMs; return }
    if (nowMs - (this.marks.at(-1)?.mark.untilMs ?? 0) >= MARK_MS || nowMs < this.stillMs) this.core.commit((tx) => { this.note(tx, cursor) })
  }

  /** Everything before `cursor` is out. Inside a commit. */
  note (tx: KvWriter, cursor: LanePlace): void {
    const { core } = this
    const nowMs = core.deps.clock.wallMs()
    if (comparePlaces(cursor, this.last) < 0) this.takeBack(tx, cursor)
    if (comparePlaces(cursor, this.last) <= 0) return
    // A clock that was set back must not make an interval empty.
    const mark = { sinceMs: Math.min(this.stillMs, nowMs), untilMs: Math.max(this.stillMs, nowMs), place: { index: cursor.index, offset: cursor.offset }, ageMs: core.deps.ageMs() }
    const number = (this.marks.at(-1)?.number ?? 0) + 1
    this.marks.push({ number, mark })
    tx.put(issuedKey(core.pool, number), encodeRow(mark))
    this.stillMs = nowMs
    if (this.marks.length > MARKS_MAX) this.thin(tx)
  }

  /** While a lane takes up where it stopped, its cursor is not known: nothing behind the true one is out, so no mark may lie there. */
  private takeBack (tx: KvWriter, cursor: LanePlace): void {
    const { pool } = this.core, gone: typeof this.marks = []
    while (comparePlaces(cursor, this.last) < 0) gone.unshift(this.marks.pop()!)
    for (const { number } of gone) tx.remove(issuedKey(pool, number))
    const first = gone[0]
    if (first === undefined || comparePlaces(cursor, this.last) === 0) return
    const mark = { ...first.mark, place: { index: cursor.index, offset: cursor.offset } }
    this.marks.push({ number: first.number, mark })
    tx.put(issuedKey(pool, first.number), encodeRow(mark))
  }

  /** The mark that stays takes over the time of the one that goes. */
  private thin (tx: KvWriter): void {
    const { pool } = this.core
    const half = this.marks.splice(0, MARKS_MAX / 2)
    const kept: typeof half = []
    for (let i = 0; i < half.length; i += 2) {
      const first = half[i]!, second = half[i + 1]
      if (second === undefined) { kept.push(first); continue }
      const mark = { ...second.mark, sinceMs: Math.min(first.mark.sinceMs, second.mark.sinceMs), untilMs: Math.max(first.mark.untilMs, second.mark.untilMs) }
      tx.remove(issuedKey(pool, first.number))
      tx.put(issuedKey(pool, second.number), encodeRow(mark))
      kept.push({ number: second.number, mark })
    }
    this.marks.unshift(...kept)
  }

  /** What was given out between two moments of this KME's clock, and perhaps a little more. */
  within (fromMs: number, toMs: number): LaneStretch[] {
    const out: LaneStretch[] = []
    let from: LanePlace = { index: 0, offset: 0 }
    for (const { mark } of this.marks) {
      if (mark.untilMs >= fromMs && mark.sinceMs <= toMs) {
        const before = out.at(-1)
        if (before !== undefined && comparePlaces(before.to, from) === 0) out[out.length - 1] = { from: before.from, to: mark.place }
        else out.push({ from, to: mark.place })
      }
      from = mark.place
    }
    return out
  }

  /** Forgets what nobody can fetch any more. The last mark stays: it says where the lane is. */
  prune (): void {
    const { keyTtlMs, fetchTtlMs } = this.core.deps.limits
    const before = this.core.deps.ageMs() - keyTtlMs - fetchTtlMs - MARGIN_MS
    let dead = 0
    while (dead < this.marks.length - 1 && this.marks[dead]!.mark.ageMs < before) dead++
    if (dead === 0) return
    const gone = this.marks.splice(0, dead)
    this.core.commit((tx) => { for (const { number } of gone) tx.remove(issuedKey(this.core.pool, number)) })
  }

  /** The pool is void: numbers of marks and places go on. Inside a commit. */
  clear (tx: KvWriter): void {
    const last = this.marks.at(-1)
    for (const { number } of this.marks) if (number !== last?.number) tx.remove(issuedKey(this.core.pool, number))
    this.marks.splice(0, this.marks.length - (last === undefined ? 0 : 1))
  }
}
