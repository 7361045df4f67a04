/** A seeded fuzzer of everything that reads what a software device sent: mutants of good input, and what must hold for any. */
import t, { type Test } from 'tap'
import { base64Room, decodeBase64 } from '../../src/device/formats/base64-bytes.js'
import { JsonFault, readJson, type JsonNode } from '../../src/device/formats/json-bytes.js'
import { readDeviceStatus, readKeyContainer } from '../../src/device/formats/key-container.js'
import { keyRecord, KEY_RECORD_BYTES, wholeRecords } from '../../src/device/formats/key-records.js'
import { readClose, readKeyMaterial, readOpenConnect, readOpened } from '../../src/device/formats/push004-body.js'
import { crc32c, QixReader, QIX_FRAME_BYTES } from '../../src/device/formats/qix-frames.js'
import { frameHeaderWords } from '../../src/device/frame-headers.js'

const ROUNDS = 5_000

/** Numbers from a seed (Mulberry32): a failing round is made again by its seed. */
class Chance {
  private state: number
  constructor (seed: number) { this.state = seed >>> 0 }

  u32 (): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let x = Math.imul(this.state ^ (this.state >>> 15), this.state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return (x ^ (x >>> 14)) >>> 0
  }

  below (n: number): number { return this.u32() % n }
  bytes (n: number): Buffer { return Buffer.from(Array.from({ length: n }, () => this.u32() & 255)) }
}

/** One to eight changes: flips, cuts, doublings, splices, bytes that mean something to a parser. */
const mutant = (chance: Chance, corpus: readonly Buffer[]): Buffer => {
  let bytes = Buffer.from(corpus[chance.below(corpus.length)]!)
  for (let i = chance.below(8); i >= 0; i--) {
    const at = chance.below(bytes.length + 1), length = chance.below(Math.min(32, bytes.length - at + 1))
    const kind = chance.below(6)
    if (kind === 0 && at < bytes.length) bytes[at]! ^= 1 << chance.below(8)
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)])
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), corpus[chance.below(corpus.length)]!.subarray(0, 64), bytes.subarray(at)])
    else if (kind === 4) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(['{', '}', '[', ']', '"', '\\', ',', ':', '\\u002b', '1e999', 'null', '\0', '\u{1F511}'][chance.below(13)]!), bytes.subarray(at)])
    else bytes = Buffer.concat([bytes.subarray(0, at), chance.bytes(length), bytes.subarray(at + length)])
  }
  return bytes
}

/** Runs `judge` on many mutants; says which round failed. */
const fuzz = (t: Pick<Test, 'pass' | 'fail'>, seed: number, corpus: readonly Buffer[], judge: (bytes: Buffer) => void): void => {
  let round = 0
  try {
    for (; round < ROUNDS; round++) judge(mutant(new Chance(seed * 1_000_000 + round), corpus))
    t.pass(`${ROUNDS} mutants`)
  } catch (error) { t.fail(`seed ${seed}, round ${round}: ${(error as Error).stack ?? ''}`) }
}

const expected = (error: unknown): void => { if (!(error instanceof JsonFault)) throw error }
const same = (a: unknown, b: unknown, what: string): void => { if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${what}: ${JSON.stringify(a)} is not ${JSON.stringify(b)}`) }

const STREAM = '6f1c2d3e-4a5b-4c6d-8e7f-001122334455'
const text = (value: object): Buffer => Buffer.from(JSON.stringify(value))
const container = text({ keys: [{ key_ID: STREAM, key: Buffer.alloc(32, 7).toString('base64') }, { key_ID: STREAM.replace('6', '7'), key: 'AAAA+/8=', key_extension: { a: [1, -2.5e3, true, null] } }], container_extension: {} })
const chunk = text({ status: 0, index: 4_294_967_295, key_buffer: Buffer.alloc(32, 9).toString('base64'), metadata: { size: 2, buffer: { key_stream_id: STREAM, age: 3 } } })
const open = text({ source: 'sae://a', destination: 'sae://b', key_stream_id: null, qos: { key_chunk_size: 32, max_bps: 1, min_bps: 0, jitter: 0, priority: 0, timeout: 5_000, ttl: 3_600, metadata_mimetype: 'application/json' } })

/** What JSON.parse makes of it, with texts by their length only. */
const plain = (node: JsonNode, bytes: Buffer): unknown => {
  if (node.type === 'object') return Object.fromEntries([...node.members].map(([name, value]) => [name, plain(value, bytes)]))
  if (node.type === 'array') return node.items.map((item) => plain(item, bytes))
  if (node.type === 'text') return JSON.parse(`"${bytes.toString('utf8', node.at.start, node.at.end)}"`) as string
  return node.value
}

t.test('JSON as bytes: reads what JSON.parse reads, and refuses what it refuses', async (t) => {
  let read = 0
  fuzz(t, 1, [container, chunk, open], (bytes) => {
    let node: JsonNode
    try { node = readJson(bytes) } catch (error) { expected(error); return }
    read++
    // Bytes that are not UTF-8 are compared as what they become; a name that JSON.parse keeps escaped is compared there.
    const whole = bytes.toString('utf8')
    if (Buffer.from(whole).equals(bytes) && !/"[^"]*\\[^"]*"\s*:/.test(whole) && !whole.includes('__proto__')) same(plain(node, bytes), JSON.parse(whole), 'another value')
  })
  t.ok(read > 100, `${read} of them are JSON`)
  for (const bad of ['', ' ', '{', '{"a":1,}', '[1 2]', '01', '1.', '"\\x"', '"\n"', 'nul', '{"a":1}{', '{"a":1,"a":2}', `${'['.repeat(40)}${']'.repeat(40)}`, '\uFEFF{}', '"\\u12g4"', '-']) {
    t.throws(() => readJson(Buffer.from(bad)), { name: 'JsonFault' }, bad.slice(0, 20))
  }
})

t.test('bodies of 014 and 004: a value or a JsonFault, and places within the buffer', async (t) => {
  fuzz(t, 2, [container, chunk, open, text({ key_size: 256, max_key_per_request: 8 }), text({ status: 0, key_stream_id: STREAM })], (bytes) => {
    const inside = ({ start, end }: { start: number, end: number }): void => { if (start < 0 || end < start || end > bytes.length) throw new Error('a place outside') }
    for (const read of [() => { for (const { id, key } of readKeyContainer(bytes)) { inside(key); if (id.length !== 16) throw new Error('an ID') } },
      () => { const { key, index, stream } = readKeyMaterial(bytes); inside(key); if (stream.length !== 16 || index < 0 || index > 0xffff_ffff) throw new Error('a chunk') },
      () => { readOpenConnect(bytes) }, () => { readClose(bytes) }, () => { readOpened(bytes) }, () => { readDeviceStatus(bytes) }]) {
      try { read() } catch (error) { expected(error) }
    }
  })
  t.same(readKeyContainer(container).length, 2)
  t.match(readKeyMaterial(chunk), { index: 4_294_967_295 })
  t.match(readOpenConnect(open), { stream: undefined, qos: { keyChunkBytes: 32, timeoutMs: 5_000 } })
})

t.test('base64: as Buffer decodes it, or refused; never beyond its room', async (t) => {
  const words = ['', 'AA==', 'AAA=', 'AAAA', 'Zm9vYmFy', Buffer.alloc(100, 0xfb).toString('base64')].map((word) => Buffer.from(word))
  fuzz(t, 3, words, (bytes) => {
    const room = base64Room(bytes.length), out = new Uint8Array(room + 8).fill(0xee)
    const length = decodeBase64(bytes, 0, bytes.length, out)
    if (out.subarray(room).some((b) => b !== 0xee)) throw new Error('it wrote beyond its room')
    if (length >= 0 && !bytes.includes(0x5c)) same(Buffer.from(out.subarray(0, length)).toString('base64'), bytes.toString('latin1'), 'another text')
  })
  const out = new Uint8Array(64), decode = (word: string): string => { const n = decodeBase64(Buffer.from(word), 0, word.length, out); return n < 0 ? 'no' : Buffer.from(out.subarray(0, n)).toString('hex') }
  t.same(['+/+/', '\\u002b\\/+/', '+\\u002F+/'].map(decode), ['fbffbf', 'fbffbf', 'fbffbf'], 'both forms of escape')
  t.same(['A', 'AA', 'AA=', 'AB==', 'A=AA', '====', 'AAAA=', 'AA==AA==', '\\n', '\\u0041', 'AA\\u00', '\\u1041AAA', 'Zm9v\n', 'Zm 9v', 'Zm9_'].map(decode), [...Array.from({ length: 9 }, () => 'no'), 'no', 'no', 'no', 'no', 'no', 'no'])
})

t.test('QIX: every good frame that is not cut comes out, in any pieces, with rubbish between; nothing else does', async (t) => {
  const good = (id: bigint, seed: number, status = 1): Buffer => {
    const frame = Buffer.alloc(QIX_FRAME_BYTES)
    frame.set([0x5a, 0xa5])
    frame.writeBigUInt64BE(id, 2)
    frame.set(new Chance(seed).bytes(32), 10)
    frame[42] = status
    frame.writeUInt32BE(crc32c(frame, 2, 43), 43)
    return frame
  }
  for (let seed = 1; seed <= 60; seed++) {
    const chance = new Chance(seed), sent: string[] = [], got: string[] = [], stream: Buffer[] = []
    for (let n = 0; n < 40; n++) {
      // Rubbish without a sync in it, so that no good frame can be swallowed by one that looks begun.
      if (chance.below(3) === 0) stream.push(Buffer.from(chance.bytes(chance.below(100)).map((b) => b === 0x5a ? 0 : b)))
      const frame = good(BigInt(n), seed * 100 + n, chance.below(5) === 0 ? 0xff : 1)
      stream.push(frame)
      sent.push(`${n} ${frame.toString('hex', 10, 42)} ${frame[42] === 1}`)
    }
    let room = 3
    const reader = new QixReader({
      frame: (id, key, safe) => { if (room === 0) return false; room--; got.push(`${id} ${Buffer.from(key).toString('hex')} ${safe}`); return true },
      damaged: () => true,
    })
    let whole = Buffer.concat(stream)
    while (whole.length > 0 || reader.isBlocked) {
      room = 1 + chance.below(3)
      if (!reader.resume()) continue
      const piece = whole.subarray(0, 1 + chance.below(120)), taken = reader.take(piece)
      whole = whole.subarray(taken)
    }
    t.same(got, sent, `seed ${seed}`)
    if (got.length !== sent.length) break
  }
  const known = new Set([1, 2, 3].map((n) => good(BigInt(n), n).toString('hex', 2, 43)))
  fuzz(t, 4, [Buffer.concat([good(1n, 1), good(2n, 2), good(3n, 3)])], (bytes) => {
    const reader = new QixReader({
      frame: (id, key, safe) => {
        const body = Buffer.alloc(41)
        body.writeBigUInt64BE(id)
        body.set(key, 8)
        body[40] = safe ? 1 : 0
        if (safe && !known.has(body.toString('hex'))) throw new Error('a frame that nobody sent')
        return true
      },
      damaged: () => true,
    })
    let at = 0
    while (at < bytes.length) at += reader.take(bytes.subarray(at, at + 1 + (at % 50)))
  })
})

t.test('key records and frame headers: any bytes are read without harm', async (t) => {
  fuzz(t, 5, [Buffer.alloc(200), new Chance(9).bytes(480)], (bytes) => {
    for (let i = 0; i < wholeRecords(bytes.length); i++) {
      const record = keyRecord(bytes, i), erased = bytes.subarray(i * KEY_RECORD_BYTES, (i + 1) * KEY_RECORD_BYTES).every((b) => b === 0)
      if ((record === undefined) !== erased || (record !== undefined && (record.id.length !== 16 || record.key.length !== 32))) throw new Error('a record')
    }
    if (bytes.length >= 64 && frameHeaderWords(bytes.subarray(0, 64)).deviceBlock.length !== 32) throw new Error('a header')
  })
})
