import type { Body } from '../peer/messages.js'
import type { PoolCore } from './core.js'

const SAES_PER_PART = 512
const PARTS_MAX = 256
const AUDIT_HEAD_MS = 60_000

/** What neighbours tell each other beside keys: which SAEs they serve, and the head of their audit chain. */
export class Sharing {
  private announcedGeneration = -1
  private incoming: { generation: number, parts: string[][] } | undefined
  /** The peer's audit chain as it last told it: evidence if its trail is ever changed. */
  theirHead: { records: number, head: Uint8Array } | undefined

  private lastHeadMs = -Infinity

  constructor (private readonly core: PoolCore) {}

  /** The whole list, in parts, through the outbox: it replaces what the peer knew. */
  announce (): void {
    const { core } = this
    this.lastHeadMs = core.deps.clock.monoMs()
    const { generation, saes } = core.deps.ownSaes()
    this.announcedGeneration = generation
    const parts = Math.max(1, Math.ceil(saes.length / SAES_PER_PART))
    core.commit((tx) => {
      for (let part = 0; part < parts; part++) {
        core.enqueue(tx, 'saes', { generation, part, parts, saes: saes.slice(part * SAES_PER_PART, (part + 1) * SAES_PER_PART) })
      }
    })
  }

  tick (): void {
    this.announceIfChanged()
    const now = this.core.deps.clock.monoMs()
    if (now - this.lastHeadMs < AUDIT_HEAD_MS) return
    this.lastHeadMs = now
    this.core.send('chainHead', this.core.deps.auditHead())
  }

  private announceIfChanged (): void { if (this.core.deps.ownSaes().generation !== this.announcedGeneration) this.announce() }

  onSaes (body: Body<'saes'>): (() => void) | undefined {
    if (body.parts > PARTS_MAX) throw this.core.protocol(`a list of SAEs in ${body.parts} parts`)
    if (body.part === 0) this.incoming = { generation: body.generation, parts: [] }
    const incoming = this.incoming
    if (incoming === undefined || incoming.generation !== body.generation || incoming.parts.length !== body.part) return
    incoming.parts.push(body.saes)
    if (incoming.parts.length < body.parts) return
    this.incoming = undefined
    return () => { this.core.deps.announced(this.core.deps.remote, incoming.parts.flat()) }
  }

  onChainHead (body: Body<'chainHead'>): void {
    if (this.theirHead !== undefined && body.records < this.theirHead.records) {
      this.core.security('integrity.audit', `the audit trail of ${this.core.deps.remote} went back from ${this.theirHead.records} to ${body.records} records`)
    }
    this.theirHead = { records: body.records, head: Uint8Array.from(body.head) }
  }
}
