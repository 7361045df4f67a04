import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolders } from '../kernel/folders.js'
import type { AdapterDeps, OpenAdapter } from './adapter.js'
import { FeedLoop, causeOf, codeOf } from './feed-loop.js'
import { FeedSource, FRAME_FLAG, type Feed, type FeedOutlet } from './feed.js'
import { FolderWatch } from './folder-watch.js'
import { FRAME_BYTES_MAX } from './native.js'
import { removeStored, sweepStored, type StoredFile } from './stored-files.js'

export interface CorFilesSettings {
  readonly folder: string
  readonly suffix: string
  readonly settleMs: number
  readonly scanMs: number
  readonly maxFileBytes: number
}

const CHUNK_FRAMES = 16
const CHUNK_BYTES = CHUNK_FRAMES * FRAME_BYTES_MAX
/** Files that were read and wait for the store. */
const WAITING_MAX = 64
/** Refused files that are remembered; each further one is told at each look. */
const REFUSED_MAX = 1_000

/** Name of a file's key block: the first 16 bytes of SHA-256 over the file's name. Equal names at both ends are equal blocks. */
export const corBlock = (fileName: string): Uint8Array => createHash('sha256').update(fileName, 'utf8').digest().subarray(0, 16)

interface Reading extends StoredFile { readonly block: Uint8Array, atBytes: number, last: number }
interface Seen { readonly sizeBytes: number, readonly changedMs: number, readonly sinceMs: number }

/**
 * Files of finished key that a device drops into a folder. The frame at byte k of file f has the name (f, k / 32), so both ends
 * cut alike. A file whose frames are all durable is overwritten and removed; until then it stays, and is read again after a crash.
 */
class CorFilesFeed implements Feed {
  private out!: FeedOutlet
  private watch: FolderWatch | undefined
  private readonly loop: FeedLoop
  private readonly chunk = new Uint8Array(CHUNK_BYTES)
  private reading: Reading | undefined
  private readonly waiting: Reading[] = []
  private seen = new Map<string, Seen>()
  /** How each looked when it was refused: it is not opened again before that changes. */
  private readonly refused = new Map<string, string>()
  private durableTo = 0
  private swept = false
  private filesDone = 0
  private filesRefused = 0

  constructor (private readonly settings: CorFilesSettings, private readonly deps: AdapterDeps) {
    this.loop = new FeedLoop(() => this.work(), (error) => { this.out.fault(causeOf(error)) }, settings.folder)
  }

  start (out: FeedOutlet): void {
    this.out = out
    this.watch = new FolderWatch(this.settings.folder, this.settings.scanMs, this.deps.clock, () => { this.loop.kick() })
  }

  room (): void { this.loop.kick() }
  durable (number: number): void { this.durableTo = number; this.loop.kick() }
  counters (): Record<string, number> { return { filesDone: this.filesDone, filesRefused: this.filesRefused, filesWaiting: this.waiting.length } }

  stop (): void {
    this.watch?.close()
    this.loop.stop(() => {
      this.chunk.fill(0)
      for (const { file } of [...this.waiting, ...this.reading === undefined ? [] : [this.reading]]) file.close().catch(() => {}) // It is only read: nothing can be lost.
    })
  }

  private async work (): Promise<void> {
    try {
      if (!this.swept) await sweepStored(this.settings.folder, this.settings.suffix)
      this.swept = true
      while (!this.loop.stopped) {
        await this.finish()
        this.reading ??= await this.next()
        if (this.reading === undefined) { this.out.state('idle'); return }
        this.out.state('running')
        if (!await this.feed(this.reading)) return // `room` goes on.
        this.waiting.push(this.reading)
        this.reading = undefined
      }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      this.watch?.forget()
      this.swept = false // It may have gone in the middle of a removal.
      this.out.state('away', 'the folder is not there; make it, or mount it')
    }
  }

  private async next (): Promise<Reading | undefined> {
    if (this.waiting.length >= WAITING_MAX) return undefined
    const { folder, suffix } = this.settings
    const busy = new Set(this.waiting.map(({ name }) => name))
    const names = (await readdir(folder)).filter((name) => name.endsWith(suffix) && !name.startsWith('.') && !busy.has(name)).sort()
    const there = new Set(names)
    for (const name of this.refused.keys()) if (!there.has(name)) this.refused.delete(name)
    const seen = new Map<string, Seen>()
    let found: Reading | undefined
    for (const name of names) {
      if (found !== undefined || seen.size > 10_000) break
      found = await this.settled(name, seen)
    }
    this.seen = seen
    return found
  }

  /** Opens a file that has come to rest. */
  private async settled (name: string, seen: Map<string, Seen>): Promise<Reading | undefined> {
    const { folder, settleMs, maxFileBytes } = this.settings
    const { clock } = this.deps, looks = await this.looksOf(name)
    if (looks === undefined || looks === this.refused.get(name)) return undefined
    let file: FileHandle
    try {
      file = await open(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.refuse(name, looks, causeOf(error))
      return undefined
    }
    const { size, mtimeMs } = await file.stat().then((s) => ({ size: s.isFile() ? s.size : -1, mtimeMs: s.mtimeMs }))
    if (size < 0 || size > maxFileBytes) this.refuse(name, looks, size < 0 ? 'is not a file' : `has ${size} bytes; corFiles.maxFileBytes is ${maxFileBytes}`)
    else {
      this.refused.delete(name)
      const before = this.seen.get(name), now = clock.monoMs()
      const same = before?.sizeBytes === size && before.changedMs === mtimeMs
      const note = same ? before : { sizeBytes: size, changedMs: mtimeMs, sinceMs: now }
      seen.set(name, note)
      // By its own time, if that can be true; else by how long we have looked at it.
      const isAtRest = clock.wallMs() - mtimeMs >= settleMs || now - note.sinceMs >= settleMs
      if (size > 0 && isAtRest) return { name, file, sizeBytes: size, changedMs: mtimeMs, block: corBlock(name), atBytes: 0, last: 0 }
      if (size > 0) clock.after(settleMs + 1, () => { this.loop.kick() })
    }
    await file.close()
    return undefined
  }

  /** Whatever an operator or the device may do to mend it changes one of these. @returns undefined: it is gone. */
  private async looksOf (name: string): Promise<string | undefined> {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await lstat(join(this.settings.folder, name))
      return [ino, size, mtimeMs, ctimeMs].join(' ')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  private refuse (name: string, looks: string, why: string): void {
    this.filesRefused++
    if (this.refused.has(name) || this.refused.size < REFUSED_MAX) this.refused.set(name, looks)
    this.deps.log.warn('a key file cannot be taken', { link: this.deps.linkId, file: name, reason: why })
  }

  /** Publishes what is left of the file; false if the ring was full before its end. */
  private async feed (reading: Reading): Promise<boolean> {
    try {
      while (reading.atBytes < reading.sizeBytes) {
        const { bytesRead } = await reading.file.read(this.chunk, 0, Math.min(CHUNK_BYTES, reading.sizeBytes - reading.atBytes), reading.atBytes)
        if (this.loop.stopped) return false
        // Whole frames only, but at the end: a short read must not move the next frames off their places.
        const usable = reading.atBytes + bytesRead >= reading.sizeBytes ? bytesRead : bytesRead - bytesRead % FRAME_BYTES_MAX
        if (usable === 0) { reading.atBytes = reading.sizeBytes; break } // It was cut meanwhile: what there was is taken.
        for (let from = 0; from < usable; from += FRAME_BYTES_MAX) {
          const to = Math.min(usable, from + FRAME_BYTES_MAX)
          const isLast = reading.atBytes + (to - from) >= reading.sizeBytes
          const number = this.out.publish({ block: reading.block, offset: reading.atBytes / 32, payload: this.chunk.subarray(from, to), flags: isLast ? FRAME_FLAG.last : 0 })
          if (number === 0) return false
          reading.last = number
          reading.atBytes += to - from
        }
      }
      return true
    } finally { this.chunk.fill(0) }
  }

  private async finish (): Promise<void> {
    while (!this.loop.stopped && this.waiting[0] !== undefined && this.waiting[0].last <= this.durableTo) {
      const stored = this.waiting.shift()!
      try {
        if (!await removeStored(this.settings.folder, stored)) this.deps.log.info('a key file was replaced or changed after it was read', { link: this.deps.linkId, file: stored.name })
      } finally { await stored.file.close() }
      this.filesDone++
    }
  }
}

export const openCorFiles: OpenAdapter<CorFilesSettings> = (settings, deps) => {
  try {
    makeFolders(settings.folder, 0o700)
  } catch (cause) {
    throw Object.assign(new Error(`folder ${settings.folder}: cannot be made: ${causeOf(cause)}`, { cause }), { code: 'RING_INVALID' })
  }
  return new FeedSource(deps, settings.folder, new CorFilesFeed(settings, deps))
}
