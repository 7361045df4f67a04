import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { Journal, JOURNAL_BYTES, readJournal } from '../../src/store/journal.js'
import { openLmdbKv, type LmdbOptions } from '../../src/store/lmdb.js'

const folderOf = (t: { teardown (fn: () => void): void }): string => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-lmdb-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}
const open = (folder: string, more: Partial<LmdbOptions> = {}) => openLmdbKv({ folder, mapBytes: 1 << 28, reserveBytes: 0, ...more })

t.test('a killed writer loses only the end: whole transactions, in order, none that was said to be durable', async (t) => {
  const folder = folderOf(t)
  let before = 0
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('./lmdb-load.js', import.meta.url)), folder], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => { said += chunk.toString() })
    while (said.split('\n').length < 6 + 5 * round) await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'close')
    const durable = Number(said.trimEnd().split('\n').filter((_, i, all) => i < all.length - 1 || said.endsWith('\n')).at(-1))
    const kv = await open(folder)
    const keys = [...kv.keys({ start: ['n'], end: ['o'] })].map((key) => key[1] as number)
    t.ok(keys.length >= durable && durable > before, `${keys.length} found, ${durable} were durable`)
    t.same([keys[0], keys.at(-1)], [1, keys.length], 'no hole')
    const pairs = [...kv.keys({ start: ['pair'], end: ['paiz'] })].map((key) => key[1] as number)
    t.same([pairs[0], pairs.at(-1)], [Math.max(1, keys.length - 1999), keys.length], 'transactions are whole')
    t.ok(kv.get(['n', keys.length])?.every((byte) => byte === (keys.length & 0xff)))
    before = keys.length
    await kv.close()
  }
})

/** An entry of a journal without fillers. */
const plain = (seq: number, ops: Buffer): Buffer => {
  const entry = Buffer.concat([Buffer.alloc(20), ops])
  entry.writeUInt32LE(0x4a4d4b51, 0)
  entry.writeUInt32LE(ops.length, 4)
  entry.writeDoubleLE(seq, 8)
  const numbers = Buffer.concat([entry.subarray(8, 16), entry.subarray(4, 8)])
  entry.writeUInt32LE(crc32(ops, crc32(numbers)), 16)
  return entry
}

t.test('a journal says when it is full, and entries of any length follow each other at whole blocks', (t) => {
  const path = join(folderOf(t), 'journal.bin'), journal = Journal.open(path)
  const sizes = [1, 4_076, 4_077, 250_000], filler = 3
  sizes.forEach((bytes, i) => { journal.append(i + 1, Buffer.alloc(bytes, filler)) })
  t.same(readJournal(path, 0).map(({ ops }) => ops.length + 20), [4_096, 4_096, 8_192, 253_952])
  let seq = sizes.length
  for (let half = 1; half <= 2; half++) {
    while (journal.fits(4_077)) journal.append(++seq, Buffer.alloc(4_077, filler))
    const bytes = readJournal(path, 0).reduce((sum, { ops }) => sum + ops.length + 20, 0), room = half * JOURNAL_BYTES / 2
    t.ok(bytes <= room && bytes > room - half * 8_192, `${bytes} of ${room}`)
    journal.turn()
  }
  journal.close()
  t.equal(readFileSync(path).length, JOURNAL_BYTES)
  Journal.open(path).close()
  t.same(readJournal(path, seq), [], 'opened for writing it is empty')
  t.end()
})

t.test('entries of both halves come back in their order, whichever is the older; one that is missing between them is not passed over', (t) => {
  const path = join(folderOf(t), 'journal.bin'), journal = Journal.open(path), body = Buffer.alloc(10, 3)
  const found = (applied: number): number[] => readJournal(path, applied).map(({ seq }) => seq)
  for (const seq of [1, 2, 3]) journal.append(seq, body)
  journal.turn()
  for (const seq of [4, 5]) journal.append(seq, body)
  t.same([found(0), found(3), found(5)], [[1, 2, 3, 4, 5], [4, 5], []])
  journal.turn() // 3 is in the data file.
  journal.append(6, body)
  t.same([found(3), found(5), found(6)], [[4, 5, 6], [6], []], 'what the first half held before is not taken')
  journal.append(7, body)
  journal.turn() // 5 is.
  journal.append(8, body)
  journal.close()
  t.same(found(5), [6, 7, 8])
  const whole = readFileSync(path), torn = Buffer.from(whole)
  torn[JOURNAL_BYTES / 2 + 30]! ^= 1
  writeFileSync(path, torn)
  t.same(found(5), [6, 7], 'the newest is torn')
  const damaged = Buffer.from(whole)
  damaged[4_096 + 30]! ^= 1
  writeFileSync(path, damaged)
  t.throws(() => readJournal(path, 5), { code: 'STORE_CORRUPT', message: /lacks the entry before 8/ })
  t.end()
})

t.test('the journal alone brings back what the data file lacks, and a torn end is left out', async (t) => {
  const folder = folderOf(t), path = join(folder, 'journal.bin')
  Journal.open(path).close()
  const empty = readFileSync(path)
  const put = (key: string): Buffer => {
    const encoded = Buffer.from([0x20, ...Buffer.from(key), 0])
    const ops = Buffer.alloc(7 + encoded.length + 1, 9)
    ops[0] = 1
    ops.writeUInt16LE(encoded.length, 1)
    ops.writeUInt32LE(1, 3)
    ops.set(encoded, 7)
    return ops
  }
  const write = (entries: [number, string][]): Buffer => {
    writeFileSync(path, empty)
    const journal = Journal.open(path)
    for (const [seq, key] of entries) journal.append(seq, put(key))
    journal.close()
    return readFileSync(path)
  }
  const found = async (): Promise<string> => {
    const kv = await open(folder)
    const keys = ['a', 'b', 'c', 'd'].filter((key) => kv.has([key])).join('')
    await kv.close()
    return keys
  }
  const base = 0
  const whole = write([[base + 1, 'a'], [base + 2, 'b'], [base + 3, 'c']])
  const length = 4096
  t.equal(whole.readUInt32LE(4), length - 20, 'an entry fills its block')
  for (const [what, at] of [['body', 2 * length + 25], ['checksum', 2 * length + 16], ['number', 2 * length + 9], ['magic', 2 * length]] as const) {
    const torn = Buffer.from(whole)
    torn[at] = torn[at] as number ^ 1
    writeFileSync(path, torn)
    t.same(readJournal(path, base).map(({ seq }) => seq), [1, 2], what)
  }
  writeFileSync(path, Buffer.concat([plain(1, put('a')), plain(2, put('b')), whole.subarray(4096)]))
  t.same(readJournal(path, base).map(({ seq, ops }) => [seq, ops.equals(put('ab'[seq - 1]!))]), [[1, true], [2, true]], 'entries without fillers, as earlier versions wrote them, and what is older behind them')
  writeFileSync(path, whole)
  t.equal(await found(), 'abc')
  t.equal(await found(), 'abc', 'applied once, and never again')
  write([[2, 'd'], [3, 'd']])
  t.equal(await found(), 'abc', 'older than the data file')
  write([[5, 'd']])
  await t.rejects(open(folder), { code: 'STORE_CORRUPT', message: /belong together/ })
  write([[4, 'd']])
  t.equal(await found(), 'abcd')
})

t.test('an entry that is no batch, though its checksum is right, is refused, and nothing of it is taken', async (t) => {
  const folder = folderOf(t), path = join(folder, 'journal.bin')
  const op = (code: number, keyBytes: number, valueBytes: number, rest: Buffer): Buffer => {
    const head = Buffer.alloc(7)
    head[0] = code
    head.writeUInt16LE(keyBytes, 1)
    head.writeUInt32LE(valueBytes, 3)
    return Buffer.concat([head, rest])
  }
  const key = Buffer.from([0x20, 0x61, 0]), good = op(1, 3, 1, Buffer.concat([key, Buffer.from([9])])), mebibyte = 1 << 20
  const largest = op(1, 3, mebibyte, Buffer.concat([key, Buffer.alloc(mebibyte, 3)]))
  for (const [what, bad] of [
    ['an operation that is not known', op(4, 3, 0, key)], ['none', op(0, 3, 0, key)], ['a header that ends early', good.subarray(0, 6)],
    ['a key that ends early', op(1, 4, 0, key)], ['a value that ends early', op(1, 3, 2, Buffer.concat([key, Buffer.from([9])]))],
    ['no key', op(2, 0, 0, Buffer.alloc(0))], ['a value of a byte too much', op(1, 3, mebibyte + 1, Buffer.concat([key, Buffer.alloc(mebibyte + 1)]))],
  ] as const) {
    writeFileSync(path, plain(1, Buffer.concat([good, bad])))
    await t.rejects(open(folder), { code: 'STORE_CORRUPT', message: /byte 11 of a batch begins no operation.*qkme restore/ }, what)
  }
  writeFileSync(path, Buffer.alloc(0))
  const empty = await open(folder)
  t.notOk(empty.has(['a']))
  await empty.close()
  writeFileSync(path, plain(1, largest))
  const whole = await open(folder)
  t.equal(whole.get(['a'])?.length, mebibyte)
  await whole.close()
})

t.test('a data file whose heads or roots are damaged, or that was cut off, is refused with words', async (t) => {
  const folder = folderOf(t), path = join(folder, 'data.mdb')
  const kv = await open(folder)
  for (let n = 0; n < 300; n++) kv.transact((tx) => { tx.put(['n', n], new Uint8Array(2_000)) })
  await kv.flushed()
  await kv.close()
  const whole = readFileSync(path), pageBytes = 4_096, rootAt = 24 + 112
  const newer = whole.readBigUInt64LE(152) < whole.readBigUInt64LE(pageBytes + 152) ? pageBytes : 0
  const root = Number(whole.readBigUInt64LE(newer + rootAt))
  const cases: [RegExp, (file: Buffer) => Buffer | undefined][] = [
    [/head 0 is none/, (file) => { file[24]! ^= 1; return undefined }],
    [/head 1 is none/, (file) => { file.fill(0, pageBytes, 2 * pageBytes); return undefined }],
    [/head 0 is not of this form/, (file) => { file[49]! ^= 1; return undefined }],
    [/sizes in its head/, (file) => { file[newer + 47]! ^= 1; return undefined }],
    [/depth \d+ cannot be/, (file) => { file[newer + 103]! ^= 1; return undefined }],
    [/behind the last one/, (file) => { file[newer + rootAt + 4]! ^= 1; return undefined }],
    [/is not what its head says/, (file) => { file.writeBigUInt64LE(1n, newer + rootAt); return undefined }],
    [/is not what its head says/, (file) => { file.fill(0, root * pageBytes, (root + 1) * pageBytes); return undefined }],
    [/before page/, (file) => file.subarray(0, root * pageBytes + 100)],
  ]
  for (const [message, damage] of cases) {
    const file = Buffer.from(whole)
    writeFileSync(path, damage(file) ?? file)
    await t.rejects(open(folder), { code: 'STORE_CORRUPT', message }, String(message))
  }
  writeFileSync(path, whole)
  const again = await open(folder)
  t.ok(again.has(['n', 299]))
  await again.close()
})

t.test('a full store refuses what adds and lets pass what removes, then works again', async (t) => {
  const folder = folderOf(t)
  const kv = await open(folder, { mapBytes: 8 << 20 })
  const big = new Uint8Array(100_000)
  let n = 0
  const write = async (): Promise<void> => {
    for (; n < 200; n++) {
      kv.transact((tx) => { tx.put(['big', n], big) })
      await kv.flushed()
    }
  }
  await t.rejects(write(), { code: 'STORE_FULL', message: /no room/ })
  t.ok(n > 30 && n < 80, `${n} of 100 KB fitted into 8 MiB`)
  t.throws(() => kv.transact((tx) => { tx.put(['more'], big) }), { code: 'STORE_FULL' })
  t.notOk(kv.has(['more']))
  kv.transact((tx) => { tx.remove(['big', 0]); tx.put(['note'], Uint8Array.of(1)) })
  await kv.flushed()
  t.ok(kv.has(['note']))
  const filled = n
  kv.transact((tx) => { for (let i = 0; i < n; i++) tx.remove(['big', i]) })
  await kv.flushed()
  for (let tries = 0; kv.stats().usedBytes > 1 << 20 && tries < 1000; tries++) await setTimeout(5) // Counted when the data file has it.
  for (n = 0; n < filled - 10; n++) kv.transact((tx) => { tx.put(['big', n], big) })
  await kv.flushed()
  const { usedBytes, limitBytes } = kv.stats()
  t.ok(usedBytes <= limitBytes)
  await kv.close()
  await t.rejects(open(folder, { mapBytes: 8 << 20, reserveBytes: 2 ** 60 }).then(async (full) => {
    try { full.transact((tx) => { tx.put(['x'], big) }) } finally { await full.close() }
  }), { code: 'STORE_FULL' })
})

t.test('a disk that refuses a write ends the store with a way out, and leaves it whole', async (t) => {
  const folder = folderOf(t)
  const limited = spawn('bash', ['-c', `ulimit -f 6000; exec "$0" "$1" "$2"`, process.execPath, fileURLToPath(new URL('./lmdb-limit.js', import.meta.url)), folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  limited.stdout.on('data', (chunk: Buffer) => { said += chunk.toString() })
  await once(limited, 'close')
  t.match(JSON.parse(said) as object, { flushed: 'STORE_UNAVAILABLE', transact: 'STORE_UNAVAILABLE', again: 'STORE_UNAVAILABLE', message: /Check the disk/ })
  const kv = await open(folder)
  t.ok(kv.has(['before']))
  t.same([...kv.keys({ start: ['big'], end: ['bih'] })], [])
  await kv.close()
})

t.test('more than 32 MiB on their way make the writer wait, and nothing is lost', async (t) => {
  const kv = await open(folderOf(t))
  const value = new Uint8Array(500_000)
  t.notOk(kv.has(['v', 0])) // A reader's view from before, in the same turn.
  for (let n = 0; n < 200; n++) kv.transact((tx) => { tx.put(['v', n], value.fill(n)) })
  t.ok(Array.from({ length: 200 }, (_, n) => kv.get(['v', n])?.[0] === n).every(Boolean), 'what the overlay forgot is seen in the data file')
  await kv.flushed()
  t.equal([...kv.keys({ start: ['v'], end: ['w'] })].length, 200)
  t.equal(kv.get(['v', 77])?.[499_999], 77)
  kv.transact((tx) => { for (let n = 0; n < 20; n++) tx.put(['w', n], value.fill(n)) }) // One transaction over many chunks' size.
  t.equal(kv.get(['w', 3])?.[0], 3)
  t.throws(() => kv.transact((tx) => { for (let n = 0; n < 8; n++) tx.put(['x', n], value); throw new Error('no') }), { message: 'no' })
  await kv.close()
})

t.test('callers of one turn share a flush', async (t) => {
  const kv = await open(folderOf(t))
  const promises = Array.from({ length: 50 }, (_, n) => {
    kv.transact((tx) => { tx.put(['n', n], Uint8Array.of(n)) })
    return kv.flushed()
  })
  t.equal(new Set(promises).size, 1)
  await Promise.all(promises)
  t.ok(kv.stats().pendingBytes < 2000)
  await kv.close()
  await kv.close()
})
