import { pino } from 'pino'
import { KmeError } from '../kernel/errors.js'

/** Where lines go, and how to get them out before the process ends. */
export interface LogDestination {
  readonly stream: ReturnType<typeof pino.destination>
  /** Lines lost because the reader did not keep up. */
  readonly dropped: () => number
  flush (): void
  /** Opens the file again after it was rotated away. Standard output and error have nothing to open. */
  reopen (): void
}

/** A reader that stalls costs this much memory, then lines. */
const BUFFER_BYTES_MAX = 4 * 1024 * 1024

/**
 * A bounded, asynchronous destination. `where` is `stdout`, `stderr` or the path of a file, which is created with
 * mode 0600 and appended to.
 *
 * @throws KmeError `CONFIG_INVALID` if the file cannot be opened.
 */
export const openLogDestination = (where: string): LogDestination => {
  const dest = where === 'stdout' ? 1 : where === 'stderr' ? 2 : where
  let dropped = 0
  let stream: ReturnType<typeof pino.destination>
  try {
    stream = pino.destination({ dest, sync: false, minLength: 0, maxLength: BUFFER_BYTES_MAX, mode: 0o600, append: true })
  } catch (cause) {
    throw new KmeError('CONFIG_INVALID', `cannot write the log to ${where}: check the folder and its permissions`, { cause })
  }
  stream.on('drop', () => { dropped += 1 })
  // EPIPE: the reader is gone. There is nobody to tell; the service goes on.
  stream.on('error', () => { dropped += 1 })
  return {
    stream,
    dropped: () => dropped,
    flush: () => {
      try {
        stream.flushSync()
      } catch {
        dropped += 1 // Not open yet, or the reader is gone: nothing can be written any more.
      }
    },
    reopen: () => { if (typeof dest === 'string') stream.reopen() },
  }
}
