import fc from 'fast-check'
import t from 'tap'
import { SimDisk } from '../../sim/store.js'
import { META_NUMBERS, RECORD_STRIDE } from '../../src/device/native.js'
import { FrameRows, RecordReader, removeRecords, storedFrames } from '../../src/pool/frame-rows.js'
import { ReadHeaders } from '../../src/pool/read-headers.js'
import { encodeFrames } from '../../src/pool/row-codec.js'
import { decodeRow, frameKey, type FrameRef } from '../../src/pool/rows.js'
import { prefixRange, type Kv } from '../../src/store/kv.js'
import { makeRecordHeader, RECORD_KIND, RECORD_OVERHEAD_BYTES, recordName } from '../../src/store/record.js'
import { RECORDS_TABLE, REMOVED_TABLE, SHARED_RECORDS_MAX, sharedShape } from '../../src/store/shared-records.js'

const LINK = 7
const idOf = (n: number): string => n.toString(16).padStart(32, '0')

interface Sent { readonly n: number, readonly length: number, readonly kind?: number, readonly offset?: number }

/** Records as the addon lays them down; what would be ciphertext is the number of the frame. */
const laidDown = (sent: readonly Sent[]): [Uint8Array, Uint32Array] => {
  const records = new Uint8Array(sent.length * RECORD_STRIDE), meta = new Uint32Array(sent.length * META_NUMBERS)
  sent.forEach(({ n, length, kind = RECORD_KIND.device, offset = 0 }, i) => {
    records.fill(n, i * RECORD_STRIDE, i * RECORD_STRIDE + length + RECORD_OVERHEAD_BYTES)
    records.set(makeRecordHeader(kind, { link: LINK, id: idOf(n), offset }, length, 1, 1), i * RECORD_STRIDE)
    meta[i * META_NUMBERS] = length + RECORD_OVERHEAD_BYTES
  })
  return [records, meta]
}

const put = (kv: Kv, rows: FrameRows, sent: readonly Sent[]): FrameRef[] => kv.transact((tx) => rows.put(tx, ...laidDown(sent), sent.length))
const countOf = (kv: Kv, table: string): number => [...kv.keys(prefixRange([table]))].length
const whole = (count: number, from = 0): Sent[] => Array.from({ length: count }, (_, i) => ({ n: from + i, length: 3_968 }))

t.test('whole frames that come together share rows; short ones and others do not', (t) => {
  const kv = new SimDisk().open()
  const frames = put(kv, new FrameRows(), [...whole(40), { n: 40, length: 100 }, { n: 41, length: 3_000 }, { n: 42, length: 3_000 }, { n: 43, length: 3_968 }])
  t.same(frames.map((f) => f.at?.index ?? -1), [...Array(16).keys(), ...Array(16).keys(), ...Array(8).keys(), -1, 0, 1, -1])
  t.equal(countOf(kv, RECORDS_TABLE), 4)
  t.equal(countOf(kv, 'frame'), 2)
  t.same(decodeRow(encodeFrames(frames)), frames, 'a block keeps where they lie')
  t.same(decodeRow(encodeFrames(frames.slice(-1))), frames.slice(-1))
  t.end()
})

t.test('the first frame of a relayed job has a row by its name', (t) => {
  const kv = new SimDisk().open(), job = Array.from({ length: 16 }, (_, i) => ({ n: 9, length: 3_968, kind: RECORD_KIND.relayed, offset: i * 124 }))
  const frames = put(kv, new FrameRows(), [...job, ...job.map((sent) => ({ ...sent, n: 10 }))])
  for (const [i, n] of [[0, 9], [16, 10]] as const) {
    t.equal(frames[i]!.at, undefined)
    t.ok(kv.has(frameKey({ link: LINK, id: idOf(n), offset: 0 })))
  }
  t.equal(countOf(kv, 'frame'), 2)
  t.same(frames.slice(1, 16).map((f) => f.at?.index), [...Array(15).keys()])
  t.end()
})

t.test('rows go on after a start, above the last that is there', (t) => {
  const kv = new SimDisk().open()
  const [first] = put(kv, new FrameRows(), whole(16)), [second] = put(kv, new FrameRows(), whole(16, 16))
  t.equal(second!.at!.row, first!.at!.row + 1)
  t.end()
})

t.test('what is not the record of that name is not given for it', (t) => {
  const kv = new SimDisk().open(), frames = put(kv, new FrameRows(), whole(3)), reader = new RecordReader(kv)
  t.equal(reader.read(frames[1]!)?.length, 3_968 + RECORD_OVERHEAD_BYTES)
  t.equal(reader.read({ ...frames[1]!, at: frames[2]!.at! }), undefined, 'another place')
  t.equal(reader.read({ ...frames[1]!, at: { row: frames[1]!.at!.row, index: 3 } }), undefined, 'behind the end')
  t.equal(reader.read({ ...frames[1]!, at: { row: 99, index: 0 } }), undefined, 'no such row')
  t.equal(reader.read({ ...frames[1]!, offset: 1 }), undefined)
  t.end()
})

t.test('lengths that no shared row has', (t) => {
  t.same(sharedShape(4_060), { count: 1, recordBytes: 4_060 })
  t.same(sharedShape(15 * 4_096 + 4_060), { count: 16, recordBytes: 4_060 })
  for (const length of [-1, 0, 2_048, 4_096 + 100, 16 * 4_096 + 4_060]) t.equal(sharedShape(length), undefined, `${length}`)
  t.end()
})

/** Headers of the frames of a block that were read; `bits` says which. */
const readBefore = (kv: Kv, frames: readonly FrameRef[], bits: number): ReadHeaders => {
  const known = new ReadHeaders(), reader = new RecordReader(kv)
  frames.forEach((frame, i) => { if ((bits >>> i % 20 & 1) === 1) known.note(1, frames.length, i, reader.read(frame)!, reader.recordsInRow) })
  return known
}

t.test('what was read is removed without being read again, in part of a row too; what was not read is', (t) => {
  const kv = new SimDisk().open(), frames = put(kv, new FrameRows(), [...whole(20), { n: 20, length: 100 }]), reads: unknown[] = []
  const gone = (those: readonly FrameRef[], bits: number): (number | undefined)[] => {
    const known = readBefore(kv, those, bits)
    return kv.transact((tx) => {
      const { copyTo } = tx
      tx.copyTo = (key, out) => { reads.push(key[0]); return copyTo.call(tx, key, out) }
      return removeRecords(tx, those, (i) => known.of(1, i)).map((header) => header.length === 64 ? parseInt(recordName(header).id, 16) : undefined)
    })
  }
  t.same([gone(frames.slice(4, 12), 0xff), reads], [[4, 5, 6, 7, 8, 9, 10, 11], []])
  t.same([gone(frames.slice(12, 21), 0x1ff), reads, countOf(kv, RECORDS_TABLE)], [[12, 13, 14, 15, 16, 17, 18, 19, 20], [], 1], 'the second row is gone')
  t.same([gone(frames.slice(0, 3), 0b101), reads, countOf(kv, RECORDS_TABLE)], [[0, 1, 2], ['records'], 1], 'one of them was not read')
  t.same([gone(frames.slice(3, 4), 1), reads.length, countOf(kv, RECORDS_TABLE), countOf(kv, REMOVED_TABLE), countOf(kv, 'frame')], [[3], 1, 0, 0, 0])
  t.end()
})

t.test('headers are kept of so many blocks, and of each frame the first', (t) => {
  const known = new ReadHeaders(), record = (n: number): Uint8Array => new Uint8Array(100).fill(n)
  for (let number = 1; number <= 65; number++) known.note(number, 2, 1, record(number), 16)
  known.note(65, 2, 1, record(9), 1)
  t.same([known.of(1, 1), known.of(65, 0), known.of(66, 1)], [undefined, undefined, undefined])
  t.same([known.of(2, 1)?.header[0], known.of(65, 1)?.header[63], known.of(65, 1)?.header.length, known.of(65, 1)?.count], [2, 65, 64, 16])
  known.forget(65)
  t.equal(known.of(65, 1), undefined)
  t.end()
})

// What is stored is what was put and not removed, however blocks mix frames of several rows; rows go with their last record.
t.test('put and removed in any order', async () => {
  const batch = fc.array(fc.constantFrom(3_968, 3_968, 3_968, 2_500, 60), { minLength: 1, maxLength: 40 })
  fc.assert(fc.property(fc.array(fc.oneof(fc.record({ put: batch }), fc.record({ remove: fc.array(fc.nat(), { maxLength: 20 }), read: fc.nat() })), { maxLength: 12 }), (steps) => {
    const kv = new SimDisk().open(), rows = new FrameRows()
    let there: FrameRef[] = [], n = 0
    for (const step of steps) {
      if ('put' in step) there.push(...put(kv, rows, step.put.map((length) => ({ n: n++, length }))))
      else {
        const going = [...new Set(step.remove.flatMap((i) => there[i % there.length] ?? []))]
        const known = readBefore(kv, going, step.read), headers = kv.transact((tx) => removeRecords(tx, going, (i) => known.of(1, i)))
        if (JSON.stringify(headers.map((h) => recordName(h).id).sort()) !== JSON.stringify(going.map((f) => f.id).sort())) return false
        if (kv.transact((tx) => removeRecords(tx, going)).length !== 0) return false // Each once.
        there = there.filter((f) => !going.includes(f))
      }
    }
    const found = Array.from(storedFrames(kv, LINK), ({ frame, isWhole, record }) => `${frame.id} ${frame.length} ${frame.at?.row}/${frame.at?.index} ${isWhole} ${record.at(-1)}`)
    const wanted = there.map((f) => `${f.id} ${f.length} ${f.at?.row}/${f.at?.index} true ${parseInt(f.id, 16) & 255}`)
    const reader = new RecordReader(kv), shared = new Set(there.flatMap((f) => f.at === undefined ? [] : [f.at.row]))
    return JSON.stringify(found.sort()) === JSON.stringify(wanted.sort()) && there.every((f) => reader.read(f)?.at(-1) === (parseInt(f.id, 16) & 255)) &&
      countOf(kv, RECORDS_TABLE) === shared.size && countOf(kv, REMOVED_TABLE) <= shared.size && [...shared].length * SHARED_RECORDS_MAX >= there.filter((f) => f.at !== undefined).length
  }), { numRuns: 200 })
})
