import type { PoolReport, ReplenishReason } from '../../machines/pool.js'
import type { Cancel } from '../kernel/time.js'
import type { LocalPool } from '../pool/local-pool.js'
import type { Pool } from '../pool/pool.js'
import type { PoolEvent } from '../pool/ports.js'
import type { PoolLevel, PoolPort } from './pool-shell.js'

const BYE_MS = 3_000
type Told = Exclude<PoolReport, { type: 'pool.level' }>

/** A pool of the engine as its actor sees it. */
export class PoolPath implements PoolPort {
  private reporter: ((event: Told) => void) | undefined

  constructor (private readonly pool: Pool | LocalPool) {}

  listen (report: (event: Told) => void): Cancel {
    this.reporter = report
    if (this.pool.kind === 'local') { report({ type: 'pool.hello' }); report({ type: 'pool.peer', present: true }) }
    return () => { if (this.reporter === report) this.reporter = undefined }
  }

  /** What the engine tells, in the machine's words. */
  told (event: PoolEvent): void {
    const { reporter } = this
    if (reporter === undefined) return
    if (event.type === 'pool.ready') { reporter({ type: 'pool.hello' }); reporter({ type: 'pool.peer', present: true }) }
    if (event.type === 'pool.away') reporter({ type: 'pool.peer', present: false })
    if (event.type === 'pool.voided') reporter({ type: 'pool.voided', reason: event.reason })
    if (event.type === 'pool.held') reporter({ type: 'pool.held', reason: event.reason })
    if (event.type === 'pool.suspended') reporter({ type: 'pool.suspend', reason: event.reason })
  }

  /** Why the pool was suspended when this start began, or undefined. */
  get suspended (): string | undefined {
    const { suspended } = this.pool.core.meta
    return suspended === '' ? undefined : suspended
  }

  /** Why an operator holds the pool, or undefined. */
  get held (): string | undefined { return this.pool.core.held === '' ? undefined : this.pool.core.held }

  level (): PoolLevel {
    const { core, lane } = this.pool
    const { account } = core
    const used = account.delivered + Object.values(account.burned).reduce((sum, b) => sum + b, 0)
    return { stockBits: lane.freeBytes(core.ready || this.pool.kind === 'local') * 8, suppliedBits: account.ingested * 8, consumedBits: used * 8 }
  }

  setSuspension (reason: string): void {
    if (this.pool.core.meta.suspended === reason) return
    if (reason === '') this.pool.release()
    else this.pool.suspend(reason)
  }

  replenish (_reason: ReplenishReason): string { return this.pool.replenish() }

  async close (): Promise<void> {
    if (this.pool.kind === 'local') await this.pool.stop()
    else await this.pool.stop(BYE_MS)
  }
}
