import type { BlockHandle, KeyHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { PoolCore } from './core.js'
import { RecordReader } from './frame-rows.js'
import { frameNames } from './row-codec.js'
import type { BlockRow, FrameRef } from './rows.js'

interface View {
  readonly handle: BlockHandle, readonly frames: readonly FrameRef[], readonly starts: Uint32Array
  users: number
  /** The frame where the last caller began: the next one nearly always begins there, too. */
  at: number
}

/**
 * Plaintext views of blocks in the arena: a handle per block, frames opened when they are needed. A view with no user
 * stays for reuse until `idleMax` others came after it; the addon may evict its frames at any time (they are reopened).
 */
export class BlockViews {
  /** The most recent is the last. */
  private readonly views = new Map<number, View>()
  private newest = -1
  constructor (private readonly core: PoolCore, private readonly epochKey: (epoch: number) => KeyHandle | 0, private readonly idleMax = 64) {}

  /** A handle that stays valid until the matching `leave`. `known`: its frames, if the caller has them. */
  enter (block: BlockRow, known?: readonly FrameRef[]): BlockHandle {
    let view = this.views.get(block.number)
    if (view !== undefined && block.number === this.newest) { // Nearly always: its place in the map is right.
      view.users++
      return view.handle
    }
    if (view === undefined) {
      const frames = known ?? this.core.framesOf(block.number)
      const starts = new Uint32Array(frames.length + 1)
      frames.forEach((f, i) => { starts[i + 1] = starts[i]! + f.length })
      const epoch = block.purpose === 'app' ? this.epochKey(block.epoch) : 0
      view = { handle: this.core.deps.vault.createBlock(block.number, epoch, Uint32Array.from(frames, (f) => f.length)), frames, starts, users: 0, at: 0 }
    } else this.views.delete(block.number)
    this.views.set(block.number, view)
    this.newest = block.number
    view.users++
    this.trim()
    return view.handle
  }

  leave (number: number): void {
    const view = this.views.get(number)
    if (view !== undefined) view.users--
  }

  /**
   * Opens the frames that cover bytes [from, to).
   * @returns how many it opened; with few cells left, the last ones may have thrown out the first.
   * @throws KmeError `STORE_CORRUPT` (a record is missing or does not authenticate), `ARENA_FULL`.
   */
  private load (number: number, from: number, to: number): number {
    const view = this.views.get(number)
    if (view === undefined) throw new Error(`invariant violated: block ${number} is not entered`)
    const { vault, keys, kv } = this.core.deps
    let opened = 0, reader: RecordReader | undefined
    for (let i = firstFrame(view, from); i < view.frames.length && view.starts[i]! < to; i++) {
      if (vault.frameLoaded(view.handle, i)) continue
      reader ??= new RecordReader(kv)
      const frame = view.frames[i]!
      const record = reader.read(frame) // One that is longer than any record is refused with its frame's length.
      if (record === undefined) throw new KmeError('STORE_CORRUPT', `frame ${frame.link}/${frame.id}/${frame.offset} of block ${number} is missing`)
      vault.loadFrame(view.handle, i, keys.opener(record), record)
      this.core.headers.note(number, view.frames.length, i, record, reader.recordsInRow)
      opened++
    }
    return opened
  }

  /**
   * Enters and loads, for a caller who goes on without these bytes. @returns the handle, to be left; or why not: 'full' passes
   * (the arena has no room), 'damaged' does not (a record is missing or does not authenticate; an alarm is raised). `row`: of its frames, if
   * they may have come a moment ago: their bytes may be open still.
   */
  reach (block: BlockRow, from: number, to: number, known?: readonly FrameRef[], row?: Uint8Array): BlockHandle | 'full' | 'damaged' {
    const handle = this.enter(block, known)
    if (row !== undefined && known !== undefined && this.hasJustCome(handle, row) === known.length) return handle
    const why = this.attempt(block.number, from, to)
    if (why === '') return handle
    this.leave(block.number)
    return why
  }

  /** @returns how many frames are open. */
  private hasJustCome (handle: BlockHandle, row: Uint8Array): number {
    const { names, stride } = frameNames(row)
    return this.core.deps.vault.loadRecent(handle, names, stride)
  }

  private attempt (number: number, from: number, to: number): '' | 'full' | 'damaged' {
    try {
      return this.load(number, from, to) === 0 || this.isLoaded(number, from, to) ? '' : 'full'
    } catch (error) {
      const { code, message } = error as { code?: unknown, message?: string }
      if (code === 'ARENA_FULL') return 'full'
      if (code !== 'STORE_CORRUPT') throw error
      this.core.security('integrity.record', `block ${number} of ${this.core.pool}: ${message ?? 'a record is damaged'}. It is not used any more; qkme store check tells what else is damaged`)
      return 'damaged'
    }
  }

  /** Whether the frames that cover bytes [from, to) are open now. */
  isLoaded (number: number, from: number, to: number): boolean {
    const view = this.views.get(number)
    return view !== undefined && view.frames.every((_, i) => view.starts[i + 1]! <= from || view.starts[i]! >= to || this.core.deps.vault.frameLoaded(view.handle, i))
  }

  /** Wipes the view of a block that is gone. */
  drop (number: number): void {
    const view = this.views.get(number)
    if (view === undefined) return
    this.views.delete(number)
    this.core.release(view.handle)
  }

  close (): void { for (const number of [...this.views.keys()]) this.drop(number) }

  private trim (): void {
    if (this.views.size <= this.idleMax) return
    for (const [number, view] of this.views) {
      if (view.users > 0) continue
      this.drop(number)
      if (this.views.size <= this.idleMax) return
    }
  }
}

/** The frame that holds byte `from`, remembered; behind the last one if none does. */
const firstFrame = (view: View, from: number): number => {
  let i = view.at
  if (view.starts[i]! > from) i = 0
  while (i < view.frames.length && view.starts[i + 1]! <= from) i++
  return i < view.frames.length ? view.at = i : i
}
