import type { Log } from '../kernel/log.js'
import type { Cancel } from '../kernel/time.js'

/** The part of `process` that this needs. */
export interface FatalSource {
  on (event: 'uncaughtException' | 'unhandledRejection', fn: (error: unknown) => void): unknown
  off (event: 'uncaughtException' | 'unhandledRejection', fn: (error: unknown) => void): unknown
}

export interface FatalActions {
  /** Wipes plaintext in native memory. */
  wipe (): void
  /** Writes out what the log holds back. */
  flush (): void
  /** Ends the process. */
  exit (code: number): void
}

/**
 * An error that nobody caught is a bug, and what a process with a bug does next nobody knows: key is wiped, the log
 * flushed, and the process ends, so that the service manager starts a sound one. Leases make that safe at any moment.
 */
export const installFatal = (source: FatalSource, actions: FatalActions, log: Log, exitCode: number): Cancel => {
  let isEnding = false
  const attempt = (what: string, act: () => void): void => {
    try {
      act()
    } catch (error) {
      log.fatal('could not end in order', { what, error })
    }
  }
  const end = (kind: string) => (error: unknown): void => {
    if (isEnding) return
    isEnding = true
    attempt('wipe', () => { actions.wipe() }) // First: a log that hangs must not keep key in memory.
    log.fatal('ending because of a bug', { kind, error })
    attempt('flush', () => { actions.flush() })
    actions.exit(exitCode)
  }
  const uncaught = end('uncaught exception'), unhandled = end('unhandled rejection')
  source.on('uncaughtException', uncaught)
  source.on('unhandledRejection', unhandled)
  return () => {
    source.off('uncaughtException', uncaught)
    source.off('unhandledRejection', unhandled)
  }
}
