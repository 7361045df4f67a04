import {
  appendFileSync, closeSync, existsSync, mkdirSync, openSync, promises, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync, writeSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
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
  private put (n: number, bytes: Uint8Array, since?: Date): void {
    const path = join(this.folder, this.fileOf(n))
    writeFileSync(`${path}.part`, bytes)
    if (since !== undefined) utimesSync(`${path}.part`, since, since)
    renameSync(`${path}.part`, path)
  }

  /** @param since When it was written last, as the folder says. */
  give (n: number, since?: Date): void { this.put(n, this.whole(n), since) }
  giveOther (n: number, since?: Date): void { this.put(n, unitBytes(n + 500, UNIT_BYTES), since) }
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

const corWorld = (t: Test, change: object = {}) => {
  const at = folder(t), drop = join(at, 'drop'), device = new CorDevice(drop)
  const store = new Store({ open: (deps) => openCorFiles({ ...corSettings(drop), ...change }, deps), device }, at, bench())
  t.teardown(() => { store.close() })
  return { at, drop, device, store }
}

/** Each `rename` of an adapter in this folder goes through `around` until the test ends: those of the test before may still end their last step. */
const aroundRename = (t: Test, folder: string, around: (from: string, go: () => Promise<void>) => Promise<void>): void => {
  const { rename } = promises
  promises.rename = (from, to) => String(from).startsWith(folder) ? around(String(from), () => rename(from, to)) : rename(from, to)
  syncBuiltinESMExports()
  t.teardown(() => { promises.rename = rename; syncBuiltinESMExports() })
}

t.test('cor files: every frame of a file has its place as its name; what is durable is overwritten and removed', async (t) => {
  const { drop, device, store } = corWorld(t)
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

t.test('cor files: at the next start what was stored is overwritten, not read, and what was only taken away is read', async (t) => {
  const { drop, device, store } = corWorld(t)
  writeFileSync(join(drop, 'unit-8.cor.qkme-taken'), device.whole(8))
  writeFileSync(join(drop, 'unit-9.cor.qkme-done'), new Uint8Array(4_000))
  store.open()
  device.give(1)
  await until(() => store.frames.size >= 4 && readdirSync(drop).length === 0, 'all are gone')
  t.same([...store.frames.keys()].map((name) => name.split('/')[0]).filter((id, i, all) => all.indexOf(id) === i).sort(), [device.name(1).id, device.name(8).id].sort())
})

t.test('cor files: a file that the device puts in place of one that goes is not lost, at whatever moment', async (t) => {
  const { at, device, store } = corWorld(t)
  let given = false
  aroundRename(t, at, async (from, go) => {
    if (from.endsWith('unit-1.cor') && !given) { given = true; device.giveOther(1) } // The last moment before the stored one goes.
    await go()
  })
  store.open()
  device.give(1)
  await until(() => store.kinds().includes('quarantined'), 'the other bytes are seen')
  t.ok(given)
})

/** A file whose frames are all known, and whose place in the folder `change` alters before they are durable. */
const changedBeforeDurable = async (t: Test, sinceMs: number, change: (path: string, device: CorDevice) => void): Promise<string> => {
  const { drop, device, store } = corWorld(t), path = join(drop, 'unit-1.cor'), since = new Date(sinceMs)
  store.hold = true
  store.open()
  device.give(1, since)
  await until(() => store.frames.size === 2, 'both frames')
  change(path, device)
  store.hold = false
  for (const batch of store.held.splice(0)) batch.acknowledge()
  await until(() => store.kinds().includes('quarantined'), 'what is there now is read')
  t.same(readdirSync(drop), ['unit-1.cor'])
  return path
}

t.test('cor files: a file that was changed after it was read stays, and is read again', async (t) => {
  await changedBeforeDurable(t, Date.now() - 60_000, (path) => { appendFileSync(path, unitBytes(7, 4_000)) })
})

t.test('cor files: another file of the same size and time under the name is another one: it stays, and is read', async (t) => {
  const sinceMs = Math.floor(Date.now() / 1_000) * 1_000 - 60_000
  const path = await changedBeforeDurable(t, sinceMs, (_path, device) => { device.giveOther(1, new Date(sinceMs)) })
  t.same(new Uint8Array(readFileSync(path)), unitBytes(501, UNIT_BYTES))
})

t.test('cor files: a file that is too large, or a link, is refused and left alone until it is mended', async (t) => {
  const { at, drop, device, store } = corWorld(t, { maxFileBytes: 5_000 }), large = join(drop, 'a-large.cor'), link = join(drop, 'b-link.cor')
  writeFileSync(large, new Uint8Array(6_000))
  writeFileSync(join(at, 'elsewhere'), device.whole(2))
  symlinkSync(join(at, 'elsewhere'), link)
  store.open()
  device.give(1)
  await until(() => store.frames.size === 2, 'the good one comes')
  device.give(3)
  await until(() => store.frames.size === 4, 'and the next one')
  t.equal(store.source!.counters()['filesRefused'], 2, 'each once')
  t.same(readdirSync(drop).filter((name) => !name.startsWith('unit')), ['a-large.cor', 'b-link.cor'])
  writeFileSync(large, device.whole(4))
  rmSync(link)
  writeFileSync(link, device.whole(5))
  await until(() => store.frames.size === 8, 'both are what they should be now')
  t.same(new Uint8Array(readFileSync(join(at, 'elsewhere'))), device.whole(2))
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

for (const erase of [true, false]) {
  t.test(`record file: one that was written over the old one, under its inode, is read from its start however long it is; erase: ${String(erase)}`, async (t) => {
    const at = folder(t), path = join(at, 'keys'), device = new RecordDevice(path)
    const store = new Store({ open: (deps) => openRecordFile({ path, erase, scanMs: 100 }, deps), device }, at, bench())
    t.teardown(() => { store.close() })
    const place = (): { position: number } => existsSync(join(at, 'device-5.place')) ? JSON.parse(readFileSync(join(at, 'device-5.place'), 'utf8')) as { position: number } : { position: 0 }
    const anew = (numbers: readonly number[]): void => { // Longer at once, as between two looks.
      const keep = `${path}.keep`, { ino } = statSync(path)
      writeFileSync(keep, '')
      const other = new RecordDevice(keep)
      for (const n of numbers) other.give(n)
      const bytes = readFileSync(keep), file = openSync(path, 'r+')
      writeSync(file, bytes, 0, bytes.length, 0)
      closeSync(file)
      t.equal(statSync(path).ino, ino)
    }
    store.open()
    for (const n of [1, 2, 3]) device.give(n)
    await until(() => place().position === 144 && (!erase || readFileSync(path).every((b) => b === 0)), 'stored')
    anew([11, 12, 13, 14])
    await until(() => store.frames.size === 7 && place().position === 192, 'while it runs')
    store.close()
    await until(() => !erase || readFileSync(path).every((b) => b === 0), 'erased')
    anew([21, 22, 23, 24, 25])
    store.open()
    await until(() => store.frames.size === 12, 'at the next start')
    t.same([...store.frames.keys()].slice(-5), [21, 22, 23, 24, 25].map((n) => `${device.name(n).id}/0`))
    t.equal(store.source!.counters()['repeats'], 0)
  })
}

t.test('record file: an adapter that is opened again waits for the one before it, which still overwrites', async (t) => {
  const at = folder(t), path = join(at, 'keys'), device = new RecordDevice(path)
  const store = new Store({ open: (deps) => openRecordFile({ path, erase: true, scanMs: 100 }, deps), device }, at, bench())
  t.teardown(() => { store.close() })
  const events: string[] = []
  let letGo = (): void => {}
  aroundRename(t, at, async (_from, go) => {
    events.push('begins')
    if (events.length === 1) await new Promise<void>((resolve) => { letGo = resolve }) // The first note of the place, on a slow disk.
    await go()
    events.push('ends')
  })
  store.open()
  device.give(1)
  await until(() => events.length === 1, 'the first one notes its place')
  store.close()
  store.open()
  device.give(2)
  await new Promise((resolve) => { setTimeout(resolve, 300) }) // Time for the second one to do what it must not.
  t.same([events, store.frames.size], [['begins'], 1])
  letGo()
  await until(() => store.frames.size === 2 && readFileSync(path).every((b) => b === 0), 'the second one goes on')
  t.same([store.twice, store.source!.counters()['repeats'], store.told().includes('fault')], [0, 0, false])
})

t.test('record file: what is noted as stored and stands there still, after a crash between the two, is overwritten', async (t) => {
  const at = folder(t), path = join(at, 'keys'), device = new RecordDevice(path)
  for (const n of [1, 2, 3]) device.give(n)
  const { dev, ino } = statSync(path)
  writeFileSync(join(at, 'device-5.place'), JSON.stringify({ device: dev, inode: ino, position: 96 }))
  const store = new Store({ open: (deps) => openRecordFile({ path, erase: true, scanMs: 100 }, deps), device }, at, bench())
  t.teardown(() => { store.close() })
  store.open()
  await until(() => readFileSync(path).every((b) => b === 0), 'all are overwritten')
  t.same([...store.frames.keys()], [`${device.name(3).id}/0`])
})
