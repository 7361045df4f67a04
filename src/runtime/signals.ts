import type { Log } from '../kernel/log.js'
import type { Cancel } from '../kernel/time.js'

/** The part of `process` that this needs. */
export interface SignalSource {
  on (signal: NodeJS.Signals, fn: () => void): unknown
  off (signal: NodeJS.Signals, fn: () => void): unknown
}

export interface SignalActions {
  /** Clean stop. */
  stop (): void
  /** End now. */
  force (): void
  /** Take certificates, CRLs and log levels from their files again; open log files anew. */
  reload (): void
}

/**
 * SIGTERM and SIGINT stop, a second one forces; SIGHUP reloads; SIGUSR1 does nothing, because without a handler of ours
 * Node would open its inspector on it, through which anybody on this machine could read memory.
 */
export const installSignals = (source: SignalSource, actions: SignalActions, log: Log): Cancel => {
  let isStopping = false
  const stop = (signal: NodeJS.Signals) => (): void => {
    log.info(isStopping ? 'second signal: ending at once' : 'signal: stopping', { signal })
    if (isStopping) { actions.force(); return }
    isStopping = true
    actions.stop()
  }
  const handlers: readonly [NodeJS.Signals, () => void][] = [
    ['SIGTERM', stop('SIGTERM')],
    ['SIGINT', stop('SIGINT')],
    ['SIGHUP', () => {
      log.info('signal: reloading', { signal: 'SIGHUP' })
      actions.reload()
    }],
    ['SIGUSR1', () => {
      log.security({ category: 'integrity', severity: 'medium', event: 'process.inspectorAsked', subject: 'SIGUSR1', outcome: 'refused' })
    }],
  ]
  for (const [signal, handler] of handlers) source.on(signal, handler)
  return () => { for (const [signal, handler] of handlers) source.off(signal, handler) }
}
