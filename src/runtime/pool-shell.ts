import { fromCallback } from 'xstate'
import type { PoolCommand, PoolReport, ReplenishReason } from '../../machines/pool.js'
import type { Cancel, Clock } from '../kernel/time.js'

/** Totals since the start of the process; the shell makes rates of them. */
export interface PoolLevel { readonly stockBits: number, readonly suppliedBits: number, readonly consumedBits: number }

/** What the pool engine offers its actor. */
export interface PoolPort {
  /** Hello, presence of the peer, voids and suspensions, until cancelled. Levels are measured, not told. */
  listen (report: (event: Exclude<PoolReport, { type: 'pool.level' }>) => void): Cancel
  level (): PoolLevel
  /** `reason` '' lets the pool serve again. Suspending what is suspended is harmless. Must not throw. */
  setSuspension (reason: string): void
  /** Asks the peer for blocks or proposes what is there. @returns '' or why nothing can be done. */
  replenish (reason: ReplenishReason): string
  /** Clean stop: no more leases, bye, its acknowledgement. Resolves also if that cannot be had. */
  close (): Promise<void>
}

const MEASURE_MS = 1_000

/** The `effects` actor of machines/pool.ts. */
export const createPoolEffects = (port: PoolPort, clock: Clock) => fromCallback<PoolCommand, { pool: string }>(({ sendBack, receive }) => {
  let isOver = false
  let last = port.level()
  let lastMs = clock.monoMs()
  let cancelMeasure: Cancel = () => {}

  const measure = (): void => {
    const level = port.level(), nowMs = clock.monoMs()
    sendBack({
      type: 'pool.level', stockBits: level.stockBits, intervalMs: nowMs - lastMs,
      suppliedBits: level.suppliedBits - last.suppliedBits, consumedBits: level.consumedBits - last.consumedBits,
    })
    last = level
    lastMs = nowMs
    cancelMeasure = clock.after(MEASURE_MS, measure)
  }
  const close = (): void => {
    port.close().then(() => { if (!isOver) sendBack({ type: 'pool.closed' }) },
      // The bye is a courtesy to the next start: without it the opened blocks are closed then.
      () => { if (!isOver) sendBack({ type: 'pool.closed' }) })
  }

  receive((command) => {
    if (command.type === 'pool.service') port.setSuspension(command.on ? '' : command.reason)
    else if (command.type === 'pool.close') close()
    else {
      const problem = port.replenish(command.reason)
      if (problem !== '') sendBack({ type: 'pool.replenishFailed', reason: problem })
    }
  })
  const stopListening = port.listen((event) => { sendBack(event) })
  cancelMeasure = clock.after(MEASURE_MS, measure)
  return () => {
    isOver = true
    cancelMeasure()
    stopListening()
  }
})
