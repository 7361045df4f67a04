import { RECORD_STRIDE } from '../device/native.js'
import { invariant } from '../kernel/errors.js'
import { SHARE_FRAMES_MAX } from '../peer/messages.js'

const WHOLE_BYTES = SHARE_FRAMES_MAX * RECORD_STRIDE
/** 4 MiB: what the jobs of a busy pool go through at once. */
const SPARES_MAX = 16

/**
 * Memory for the sealed frames of shares and jobs, used again: a quarter of a megabyte for each would be new pages and work for the
 * collector, hundreds of times a second. What is not given back is collected like anything else.
 */
export class FrameMemory {
  private readonly spares: Uint8Array[] = []

  /** Room for so many records, RECORD_STRIDE apart, which may hold old ones. Small pieces are made anew: else many small jobs would hold much. */
  take (frames: number): Uint8Array {
    invariant(frames >= 1 && frames <= SHARE_FRAMES_MAX, 'a job has 1 to 64 frames')
    const bytes = frames * RECORD_STRIDE
    return bytes > WHOLE_BYTES / 2 ? this.spares.pop() ?? new Uint8Array(WHOLE_BYTES) : new Uint8Array(bytes)
  }

  /** It is used by nobody any more. */
  give (memory: Uint8Array): void {
    if (memory.length !== WHOLE_BYTES) return
    invariant(!this.spares.includes(memory), 'memory is given back once')
    if (this.spares.length < SPARES_MAX) this.spares.push(memory)
  }
}
