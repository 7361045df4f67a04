import { loadNative } from '../device/native.js'
import type { Clock } from '../kernel/time.js'

/** A thread that works still has so long after everything else has ended. */
const PATIENCE_MS = 10_000
const FAILED = 1

/** Not `process.exit`: that waits for the store's threads, and ends them within LMDB, which may abort the process. What is to be written is written before. */
export const exitNow = (code: number): never => loadNative().exitNow(code)

export interface Ending {
  /** Whose waits do not keep a process alive. */
  readonly clock: Pick<Clock, 'after'>
  /** Default 10 s; tests wait less. */
  readonly patienceMs?: number
  /** The exit code that the process is about to have. */
  readonly code: () => number
  /** The last word: written out when it returns. */
  readonly tell: (text: string) => void
  /** Ends the process although a thread of it does not. */
  readonly exit: (code: number) => void
}

/**
 * Called when the KME has ended and only its process has not: a thread of the store that hangs in the kernel (a disk or a network file
 * system that answers no more) would keep it for ever. When the patience is over the process says so, and ends without that thread, with its
 * code, or `failed` if that was to be 0. What is on disk is as after a kill.
 */
export const endInTime = ({ clock, patienceMs = PATIENCE_MS, code, tell, exit }: Ending): void => {
  clock.after(patienceMs, () => {
    tell(`a thread has not ended ${patienceMs / 1_000} s after everything else: the process ends without it; look at the disk of the store`)
    exit(code() || FAILED)
  })
}
