import { META_NUMBERS, RECORD_STRIDE } from '../device/native.js'
import { invariant } from '../kernel/errors.js'
import { prefixRange, type KvReader, type KvWriter } from '../store/kv.js'
import { RECORD_KIND, RECORD_OVERHEAD_BYTES, recordLinkAt, recordName, recordNameAt, recordOffsetAt, recordPayload, type RecordName } from '../store/record.js'
import { RECORD_PITCH_BYTES, RECORDS_TABLE, recordsKey, removedKey, removedMask, SHARED_RECORD_BYTES_MIN, SHARED_RECORDS_MAX, sharedRecords, sharedShape, type SharedShape } from '../store/shared-records.js'
import { frameKey, framesOfLink, type FrameRef } from './rows.js'

invariant(RECORD_STRIDE === RECORD_PITCH_BYTES, 'records share rows at the distance in which the addon lays them down')

const HEADER_BYTES = 64
const KIND_AT = 1

const isSameName = (name: RecordName, frame: FrameRef): boolean => name.link === frame.link && name.offset === frame.offset && name.id === frame.id

/** The writing side: where the sealed records of a pool's frames are put. */
export class FrameRows {
  private readonly nextRow = new Map<number, number>()

  /**
   * Stores `count` records as the addon laid them down: `meta[i * META_NUMBERS]` is the length of the one at `i * RECORD_STRIDE`.
   * They are copied. @returns their frames, which know where they lie; the caller counts them in their key slot.
   */
  put (tx: KvWriter, records: Uint8Array, meta: ArrayLike<number>, count: number): FrameRef[] {
    const frames: FrameRef[] = [], bytes = Buffer.from(records.buffer, records.byteOffset, records.length)
    for (let from = 0; from < count;) {
      const length = meta[from * META_NUMBERS]!, run = this.runFrom(bytes, meta, from, count), at = from * RECORD_STRIDE
      if (run === 1) {
        const name = recordNameAt(bytes, at)
        frames.push({ ...name, length: length - RECORD_OVERHEAD_BYTES })
        tx.put(frameKey(name), records.subarray(at, at + length))
      } else {
        const link = recordLinkAt(bytes, at), row = this.newRow(tx, link)
        tx.put(recordsKey(link, row), records.subarray(at, at + (run - 1) * RECORD_STRIDE + length))
        for (let index = 0, name: RecordName | undefined; index < run; index++) {
          name = recordNameAt(bytes, at + index * RECORD_STRIDE, name, at + (index - 1) * RECORD_STRIDE)
          frames.push({ link: name.link, id: name.id, offset: name.offset, length: length - RECORD_OVERHEAD_BYTES, at: { row, index } })
        }
      }
      from += run
    }
    return frames
  }

  /** How many records from `from` on go into one row: whole frames of one length and link. */
  private runFrom (records: Buffer, meta: ArrayLike<number>, from: number, count: number): number {
    const length = meta[from * META_NUMBERS]!, most = Math.min(count - from, SHARED_RECORDS_MAX)
    if (length < SHARED_RECORD_BYTES_MIN || this.isJobsFirst(records, from)) return 1
    let run = 1
    while (run < most && meta[(from + run) * META_NUMBERS] === length && !this.isJobsFirst(records, from + run)) run++
    return run
  }

  /** By the name of its first frame the relay knows whether a job is in stock: that frame has a row of its own. */
  private isJobsFirst (records: Buffer, i: number): boolean {
    const at = i * RECORD_STRIDE
    return records[at + KIND_AT] === RECORD_KIND.relayed && recordOffsetAt(records, at) === 0
  }

  private newRow (tx: KvWriter, link: number): number {
    let next = this.nextRow.get(link)
    if (next === undefined) {
      next = 1
      for (const [, , last] of tx.keys({ ...prefixRange([RECORDS_TABLE, link]), reverse: true, limit: 1 })) next = (last as number) + 1
    }
    this.nextRow.set(link, next + 1)
    return next
  }
}

/** Rows as they are read; only one reader or eraser is at work at any time. */
const scratch = new Uint8Array(SHARED_RECORDS_MAX * RECORD_PITCH_BYTES), scratchBytes = Buffer.from(scratch.buffer)

/** Reads records one after the other; a row that several of them share is read once. Used within one turn, while nothing is removed. */
export class RecordReader {
  private row = 0
  private link = -1
  private shape: SharedShape | undefined
  /** Of the record of this row that was read last: the next one's is the same nearly always. */
  private name: RecordName | undefined
  private nameAt = 0

  constructor (private readonly kv: KvReader) {}

  /** Of the row of the record that was read last. */
  get recordsInRow (): number { return this.link < 0 ? 1 : this.shape?.count ?? 0 }

  /** The sealed record of a frame, valid until the next call; undefined if there is none of that name. */
  read (frame: FrameRef): Uint8Array | undefined {
    if (frame.at === undefined) {
      this.link = -1
      const length = this.kv.copyTo(frameKey(frame), scratch)
      return length < 0 ? undefined : scratch.subarray(0, length)
    }
    const { row, index } = frame.at
    if (row !== this.row || frame.link !== this.link) {
      this.shape = sharedShape(this.kv.copyTo(recordsKey(frame.link, row), scratch))
      this.row = row
      this.link = frame.link
      this.name = undefined
    }
    const { shape } = this, at = index * RECORD_PITCH_BYTES
    if (shape === undefined || index >= shape.count) return undefined
    const name = this.name = recordNameAt(scratchBytes, at, this.name, this.nameAt)
    this.nameAt = at
    return isSameName(name, frame) ? scratch.subarray(at, at + shape.recordBytes) : undefined
  }
}

/** The header of a record, and how many records its row has. */
export interface KnownRecord { readonly header: Uint8Array, readonly count: number }

/**
 * Removes the records of frames. @param known Of the i-th frame, if it was read before: then its row is not read again.
 * @returns their headers of 64 bytes, shorter where a record is; of frames that are not there none.
 */
export const removeRecords = (tx: KvWriter, frames: readonly FrameRef[], known: (index: number) => KnownRecord | undefined = () => undefined): Uint8Array[] => {
  const headers: Uint8Array[] = []
  for (let i = 0; i < frames.length;) {
    const frame = frames[i]!
    let end = i + 1
    if (frame.at === undefined) {
      const header = known(i)?.header ?? readHeader(tx, frame)
      if (header !== undefined) {
        headers.push(header)
        tx.remove(frameKey(frame))
      }
    } else {
      while (end < frames.length && frames[end]!.at?.row === frame.at.row && frames[end]!.link === frame.link) end++
      const those = frames.slice(i, end), records = those.flatMap((_, n) => known(i + n) ?? [])
      removeShared(tx, frame.link, frame.at.row, those, records.length === those.length ? records : undefined, headers)
    }
    i = end
  }
  return headers
}

const readHeader = (tx: KvWriter, frame: FrameRef): Uint8Array | undefined => {
  const length = tx.copyTo(frameKey(frame), scratch)
  return length < 0 ? undefined : scratch.slice(0, Math.min(length, HEADER_BYTES))
}

const removeShared = (tx: KvWriter, link: number, row: number, frames: readonly FrameRef[], known: readonly KnownRecord[] | undefined, headers: Uint8Array[]): void => {
  const count = known?.[0]!.count ?? sharedShape(tx.copyTo(recordsKey(link, row), scratch))?.count
  if (count === undefined) return
  const before = removedMask(tx, link, row)
  let gone = before
  frames.forEach(({ at }, i) => { // Whatever name its header bears: a damaged one goes too.
    if (at === undefined || at.index >= count || (gone >>> at.index & 1) === 1) return
    gone |= 1 << at.index
    headers.push(known?.[i]!.header ?? scratch.slice(at.index * RECORD_PITCH_BYTES, at.index * RECORD_PITCH_BYTES + HEADER_BYTES))
  })
  if (gone === 2 ** count - 1) {
    tx.remove(recordsKey(link, row))
    if (before !== 0) tx.remove(removedKey(link, row))
  } else if (gone !== before) tx.put(removedKey(link, row), Uint8Array.of(gone, gone >>> 8))
}

export interface StoredFrame { readonly frame: FrameRef, readonly record: Uint8Array, readonly isWhole: boolean }

/** Every stored frame of a link, those in shared rows first and in the order in which they came. The record is valid until the next. */
export function * storedFrames (kv: KvReader, link: number): Generator<StoredFrame> {
  for (const { row, index, record } of sharedRecords(kv, link)) {
    const name = record.length < HEADER_BYTES ? { link, id: '0'.repeat(32), offset: 0 } : recordName(record)
    const frame = { ...name, link, length: Math.max(0, record.length - RECORD_OVERHEAD_BYTES), at: { row, index } }
    yield { frame, record, isWhole: record.length > RECORD_OVERHEAD_BYTES && name.link === link && recordPayload(record) === frame.length }
  }
  for (const key of kv.keys(framesOfLink(link))) {
    const name = { link, id: key[2] as string, offset: key[3] as number }, record = kv.get(key)
    if (record === undefined) continue
    const frame = { ...name, length: Math.max(0, record.length - RECORD_OVERHEAD_BYTES) }
    yield { frame, record, isWhole: record.length > RECORD_OVERHEAD_BYTES && recordPayload(record) === frame.length && isSameName(recordName(record), frame) }
  }
}
