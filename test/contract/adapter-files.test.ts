import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { corBlock, openCorFiles } from '../../src/device/cor-files.js'
import { openRecordFile } from '../../src/device/record-file.js'
import { bench, folder, until } from '../native/ring-support.js'
import { adapterSuite, Store, unitBytes, type TestDevice } from './adapter-suite.js'

const UNIT_BYTES = 3_968 + 96

/** Writes a file under another name and renames it. */
class CorDevice implements TestDevice {
  constructor (private readonly folder: string) { mkdirSync(folder, { recursive: true }) }
  private fileOf (n: number): string { return `unit-${n}.cor` }
  name (n: number): { id: string, offset: number } { return { id: Buffer.from(corBlock(this.fileOf(n))).toString('hex'), offset: 0 } }
  whole (n: number): Uint8Array { return unitBytes(n, UNIT_BYTES) }
  bytes (n: number): Uint8Array { return this.whole(n).subarray(0, 3_968) }
  private put (n: number, bytes: Uint8Array): void {
    const path = join(this.folder, this.fileOf(n))
    writeFileSync(`${path}.part`, bytes)
    renameSync(`${path}.part`, path)
  }

  give (n: number): void { this.put(n, this.whole(n)) }
  giveOther (n: number): void { this.put(n, unitBytes(n + 500, UNIT_BYTES)) }
  giveHalf (n: number): void { writeFileSync(join(this.folder, `${this.fileOf(n)}.part`), this.whole(n).subarray(0, 2_000)) }
  giveRest (n: number): void { this.give(n) }
  die (): void { renameSync(this.folder, `${this.folder}.gone`) }
  comeBack (): void { renameSync(`${this.folder}.gone`, this.folder) }
  close (): void {}
}

const corSettings = (folder: string) => ({ folder, suffix: '.cor', settleMs: 0, scanMs: 100, maxFileBytes: 1 << 24 })
const noWord = 'the format has no word for it'

adapterSuite({
  name: 'cor files',
  redelivers: true,
  lacks: { damaged: 'files have no checksum', compromised: noWord, gap: 'files have no order' },
  end: (_t, folder) => ({ open: (deps) => openCorFiles(corSettings(join(folder, 'drop')), deps), device: new CorDevice(join(folder, 'drop')) }),
})

class RecordDevice implements TestDevice {
  constructor (private readonly path: string) { writeFileSync(path, '') }
  private id (n: number): Buffer { return Buffer.from(`0000000${n}`.slice(-8).padStart(32, 'ab'), 'hex') }
  name (n: number): { id: string, offset: number } { return { id: this.id(n).toString('hex'), offset: 0 } }
  bytes (n: number): Uint8Array { return unitBytes(n, 32) }
  private record (n: number, key: Uint8Array): Buffer { return Buffer.concat([this.id(n), key]) }
  give (n: number): void { appendFileSync(this.path, this.record(n, this.bytes(n))) }
  giveOther (n: number): void { appendFileSync(this.path, this.record(n, unitBytes(n + 500, 32))) }
  giveHalf (n: number): void { appendFileSync(this.path, this.record(n, this.bytes(n)).subarray(0, 20)) }
  giveRest (n: number): void { appendFileSync(this.path, this.record(n, this.bytes(n)).subarray(20)) }
  die (): void { rmSync(this.path) }
  comeBack (): void { writeFileSync(this.path, '') }
  close (): void {}
}

adapterSuite({
  name: 'record file',
  redelivers: true,
  lacks: { damaged: 'records have no checksum', compromised: noWord, gap: 'key IDs have no order' },
  end: (_t, folder) => ({ open: (deps) => openRecordFile({ path: join(folder, 'keys'), erase: true, scanMs: 100 }, deps), device: new RecordDevice(join(folder, 'keys')) }),
})

t.test('cor files: every frame of a file has its place as its name; what is durable is overwritten and removed', async (t) => {
  const at = folder(t), drop = join(at, 'drop'), device = new CorDevice(drop)
  const store = new Store({ open: (deps) => openCorFiles(corSettings(drop), deps), device }, at, bench())
  t.teardown(() => { store.close() })
  store.hold = true
  store.open()
  device.give(1)
  writeFileSync(join(drop, 'notes.txt'), 'not a key file')
  writeFileSync(join(drop, 'empty.cor'), '')
  const { id } = device.name(1)
  await until(() => store.frames.size === 2, 'both frames')
  t.same([...store.frames.keys()], [`${id}/0`, `${id}/${3_968 / 32}`])
  t.same(readdirSync(drop).sort(), ['empty.cor', 'notes.txt', 'unit-1.cor'], 'it stays until it is durable')
  for (const batch of store.held) batch.acknowledge()
  await until(() => !readdirSync(drop).some((name) => name.startsWith('unit')), 'it goes')
  t.same(readdirSync(drop).sort(), ['empty.cor', 'notes.txt'])
})

t.test('cor files: what was stored and not yet overwritten at a crash is overwritten at the next start, not read', async (t) => {
  const at = folder(t), drop = join(at, 'drop'), device = new CorDevice(drop)
  writeFileSync(join(drop, 'unit-9.cor.qkme-done'), new Uint8Array(4_000))
  const store = new Store({ open: (deps) => openCorFiles(corSettings(drop), deps), device }, at, bench())
  t.teardown(() => { store.close() })
  store.open()
  device.give(1)
  await until(() => store.frames.size === 2 && readdirSync(drop).length === 0, 'both are gone')
  t.equal(store.frames.size, 2)
})

t.test('cor files: a file that is too large, or a link, is refused and left alone', async (t) => {
  const at = folder(t), drop = join(at, 'drop'), device = new CorDevice(drop)
  const store = new Store({ open: (deps) => openCorFiles({ ...corSettings(drop), maxFileBytes: 5_000 }, deps), device }, at, bench())
  t.teardown(() => { store.close() })
  writeFileSync(join(drop, 'a-large.cor'), new Uint8Array(6_000))
  store.open()
  device.give(1)
  await until(() => store.frames.size === 2, 'the good one comes')
  t.equal(store.source!.counters()['filesRefused'], 1)
  t.ok(readdirSync(drop).includes('a-large.cor'))
})

t.test('record file: what is durable is overwritten in place; a new file under the name is read from its start', async (t) => {
  const at = folder(t), path = join(at, 'keys'), device = new RecordDevice(path)
  const store = new Store({ open: (deps) => openRecordFile({ path, erase: true, scanMs: 100 }, deps), device }, at, bench())
  t.teardown(() => { store.close() })
  store.open()
  for (const n of [1, 2, 3]) device.give(n)
  await until(() => store.frames.size === 3 && readFileSync(path).every((b) => b === 0), 'erased')
  t.equal(readFileSync(path).length, 144, 'and not shortened: the device appends')
  device.give(4)
  await until(() => store.frames.size === 4, 'it goes on')
  renameSync(path, `${path}.old`)
  writeFileSync(path, '')
  device.give(5)
  await until(() => store.frames.size === 5 && readFileSync(path).every((b) => b === 0), 'the new file')
  store.close()
  store.open()
  device.give(6)
  await until(() => store.frames.size === 6, 'after a restart')
  t.same([store.twice, store.source!.counters()['repeats']], [0, 0], 'nothing was read again')
})
