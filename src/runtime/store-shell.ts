import { fromCallback } from 'xstate'
import type { StoreCommand, StoreReport } from '../../machines/store.js'
import { KmeError } from '../kernel/errors.js'
import type { Cancel } from '../kernel/time.js'

/** The store as its actor sees it. */
export interface StorePort {
  /** Opens it and makes it known to the parts that need it. @throws KmeError with the code that the process ends with. */
  open (): Promise<void>
  /** Flushes and closes; harmless when it is not open. @throws KmeError `STORE_UNAVAILABLE`. */
  close (): Promise<void>
  /** Tells failures of background writes, and that the disk is full or has space again. */
  watch (on: (event: { readonly type: 'failed', readonly error: unknown } | { readonly type: 'full' } | { readonly type: 'space' }) => void): Cancel
}

const failed = (error: unknown): StoreReport => ({
  type: 'store.failed', code: error instanceof KmeError ? error.code : 'STORE_UNAVAILABLE',
  reason: error instanceof Error ? error.message : 'unknown reason',
})

/** The `effects` actor of machines/store.ts. A close waits for an opening that is under way. */
export const createStoreEffects = (port: StorePort) => fromCallback<StoreCommand>(({ sendBack, receive }) => {
  let isOver = false
  let work: Promise<void> = Promise.resolve()
  const tell = (event: StoreReport): void => { if (!isOver) sendBack(event) }
  const stopWatching = port.watch((event) => {
    tell(event.type === 'failed' ? failed(event.error) : { type: event.type === 'full' ? 'store.full' : 'store.space' })
  })
  receive((command) => {
    const done: StoreReport = { type: command.type === 'store.open' ? 'store.opened' : 'store.closed' }
    work = work.then(() => command.type === 'store.open' ? port.open() : port.close())
      .then(() => { tell(done) }, (error: unknown) => { tell(failed(error)) })
  })
  return () => {
    isOver = true
    stopWatching()
  }
})
