import { constants } from 'node:fs'
import { open, readFile, rename, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { AdapterDeps, OpenAdapter } from './adapter.js'
import { FeedLoop, causeOf, codeOf } from './feed-loop.js'
import { FeedSource, FRAME_FLAG, type Feed, type FeedOutlet } from './feed.js'
import { FolderWatch } from './folder-watch.js'
import { KEY_ID_BYTES, KEY_RECORD_BYTES, keyRecord, wholeRecords } from './formats/key-records.js'

export interface RecordFileSettings { readonly path: string, readonly erase: boolean, readonly scanMs: number }

const CHUNK_RECORDS = 128
const CHUNK_BYTES = CHUNK_RECORDS * KEY_RECORD_BYTES
/** Records that were read and wait for the store. */
const WAITING_MAX = 4_096
/** What may be noted as durable and still stand in the file: what waited at once. */
const UNERASED_BYTES_MAX = WAITING_MAX * KEY_RECORD_BYTES

/** An ID of a record that was overwritten. */
const ERASED_ID = '0'.repeat(2 * KEY_ID_BYTES)

/** @property last Key ID, hexadecimal, of the record that ends at `position`; '' of a place that an older version noted. */
interface Place { readonly device: number, readonly inode: number, readonly position: number, readonly last: string }
interface OpenFile { readonly file: FileHandle, readonly device: number, readonly inode: number }

/**
 * A file to which a device appends records of key ID and key. A record is one frame, named by its key ID. Where reading goes on
 * after a restart is kept beside the store; a torn record at the end waits for its rest; stored records are overwritten with zeros.
 */
class RecordFileFeed implements Feed {
  private out!: FeedOutlet
  private watch: FolderWatch | undefined
  private readonly loop: FeedLoop
  private readonly chunk = new Uint8Array(CHUNK_BYTES)
  private readonly placePath: string
  private opened: OpenFile | undefined
  /** The next byte to read, and the first that is not durable. */
  private at = 0
  private doneTo = 0
  /** Key ID of the record that ends at `doneTo`: a file that another one was written over has another there. '': unknown. */
  private last = ''
  /** Published and not durable: number of the frame, end of its record, its key ID. */
  private readonly waiting: { readonly number: number, readonly end: number, readonly id: string }[] = []
  private durableTo = 0
  private erased = 0

  constructor (private readonly settings: RecordFileSettings, private readonly deps: AdapterDeps) {
    this.placePath = join(deps.stateFolder, `device-${deps.linkId}.place`)
    this.loop = new FeedLoop(() => this.work(), (error) => { this.out.fault(causeOf(error)) }, settings.path)
  }

  start (out: FeedOutlet): void {
    this.out = out
    this.watch = new FolderWatch(dirname(this.settings.path), this.settings.scanMs, this.deps.clock, () => { this.loop.kick() })
  }

  room (): void { this.loop.kick() }
  durable (number: number): void { this.durableTo = number; this.loop.kick() }
  counters (): Record<string, number> { return { recordsErased: this.erased, recordsWaiting: this.waiting.length } }

  stop (): void {
    this.watch?.close()
    this.loop.stop(() => {
      this.chunk.fill(0)
      this.opened?.file.close().catch(() => {}) // What was to be durable is.
    })
  }

  private async work (): Promise<void> {
    for (let isRead = false; !this.loop.stopped;) {
      this.opened ??= await this.open()
      if (this.opened === undefined) { this.out.state('away', 'the file is not there yet'); return }
      await this.settle(this.opened)
      const { size } = await this.opened.file.stat()
      if (size < this.at) { await this.close(); this.deps.log.warn('the record file was cut: reading begins anew', { link: this.deps.linkId }); continue }
      if (wholeRecords(size - this.at) > 0) {
        if (!isRead && !await this.isOurs(this.opened.file, this.doneTo, this.last)) { await this.anew(); continue }
        isRead = true
        this.out.state('running')
        if (!await this.feed(this.opened, size)) return // `room` or `durable` goes on.
        continue
      }
      this.out.state('idle')
      if (this.waiting.length > 0 || !await this.wasReplaced(this.opened)) return
      await this.close() // Read to its end, and all of it is durable: now the new one.
    }
  }

  private async open (): Promise<OpenFile | undefined> {
    try {
      const file = await open(this.settings.path, (this.settings.erase ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NOFOLLOW)
      const { dev, ino, size } = await file.stat()
      const kept = await this.readPlace()
      // Another file, or one that was written anew, even under the old inode: from its beginning. Names tell what is known.
      const goesOn = kept?.device === dev && kept.inode === ino && kept.position <= size && await this.isOurs(file, kept.position, kept.last)
      this.at = this.doneTo = goesOn ? kept.position : 0
      this.last = goesOn ? kept.last : ''
      // A crash may have come between the note of the place and the overwriting of what it tells.
      if (this.settings.erase) await this.overwrite(file, Math.max(0, this.at - UNERASED_BYTES_MAX), this.at)
      return { file, device: dev, inode: ino }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw new Error(codeOf(error) === 'EACCES' && this.settings.erase ? `${causeOf(error)}; give this user the right to write it, or set recordFile.erase: false` : causeOf(error), { cause: error })
    }
  }

  /** Whether the record that ends at `position` is the one that was stored, or was overwritten. Its ID alone is read. */
  private async isOurs (file: FileHandle, position: number, last: string): Promise<boolean> {
    if (position === 0 || last === '') return true
    const id = Buffer.alloc(KEY_ID_BYTES)
    const { bytesRead } = await file.read(id, 0, KEY_ID_BYTES, position - KEY_RECORD_BYTES)
    const there = id.toString('hex')
    return bytesRead === KEY_ID_BYTES && (there === last || (this.settings.erase && there === ERASED_ID))
  }

  private async anew (): Promise<void> {
    await this.close()
    this.deps.log.warn('another record file was written over the old one: reading begins anew', { link: this.deps.linkId })
  }

  private async close (): Promise<void> {
    await this.opened?.file.close()
    this.opened = undefined
    this.waiting.length = 0
  }

  private async wasReplaced ({ device, inode }: OpenFile): Promise<boolean> {
    try {
      const now = await stat(this.settings.path)
      return now.ino !== inode || now.dev !== device
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true
      throw error
    }
  }

  private async feed ({ file }: OpenFile, size: number): Promise<boolean> {
    try {
      const { bytesRead } = await file.read(this.chunk, 0, Math.min(CHUNK_BYTES, wholeRecords(size - this.at) * KEY_RECORD_BYTES), this.at)
      for (let i = 0; i < wholeRecords(bytesRead); i++) {
        if (this.loop.stopped || this.waiting.length >= WAITING_MAX) return false
        const record = keyRecord(this.chunk, i)
        const number = record === undefined ? 0 : this.out.publish({ block: record.id, offset: 0, payload: record.key, flags: FRAME_FLAG.last })
        if (record !== undefined && number === 0) return false
        this.at += KEY_RECORD_BYTES
        if (record !== undefined) this.waiting.push({ number, end: this.at, id: Buffer.from(record.id).toString('hex') })
        else if (this.waiting.length === 0) { this.doneTo = this.at; this.last = ERASED_ID } // Erased before.
      }
      return bytesRead >= KEY_RECORD_BYTES
    } finally { this.chunk.fill(0) }
  }

  /** What the store has: its place is kept, then it is overwritten. */
  private async settle ({ file, device, inode }: OpenFile): Promise<void> {
    let end = this.doneTo
    while (this.waiting[0] !== undefined && this.waiting[0].number <= this.durableTo) ({ end, id: this.last } = this.waiting.shift()!)
    if (end === this.doneTo) return
    await this.writePlace({ device, inode, position: end, last: this.last })
    if (this.settings.erase) {
      await this.overwrite(file, this.doneTo, end)
      this.erased += (end - this.doneTo) / KEY_RECORD_BYTES
    }
    this.doneTo = end
  }

  private async overwrite (file: FileHandle, from: number, to: number): Promise<void> {
    const zeros = new Uint8Array(CHUNK_BYTES)
    for (let at = from; at < to; at += zeros.length) await file.write(zeros, 0, Math.min(zeros.length, to - at), at)
    if (to > from) await file.datasync()
  }

  private async readPlace (): Promise<Place | undefined> {
    try {
      const place = JSON.parse(await readFile(this.placePath, 'utf8')) as Partial<Place> | null
      const { device, inode, position, last = '' } = place ?? {}
      if (typeof last !== 'string' || typeof device !== 'number' || typeof inode !== 'number' || typeof position !== 'number' || !Number.isSafeInteger(position) || position < 0) throw new SyntaxError('it is damaged')
      return { device, inode, position: position - position % KEY_RECORD_BYTES, last }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      if (!(error instanceof SyntaxError)) throw error
      this.deps.log.warn('the kept place in the record file cannot be read: reading begins at its start', { link: this.deps.linkId, file: basename(this.placePath) })
      return undefined
    }
  }

  private async writePlace (place: Place): Promise<void> {
    const fresh = `${this.placePath}.new`
    const file = await open(fresh, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify(place))
      await file.datasync()
    } finally { await file.close() }
    await rename(fresh, this.placePath)
  }
}

export const openRecordFile: OpenAdapter<RecordFileSettings> = (settings, deps) => new FeedSource(deps, settings.path, new RecordFileFeed(settings, deps))
