import type { Body } from '../peer/messages.js'
import { sameBytes, type PoolCore } from './core.js'
import type { OwnerLane } from './owner-lane.js'
import type { BlockRow } from './rows.js'

/**
 * How a lane begins and ends (design 3, Start and stop). A start spends nothing before the first hello. If both sides hold
 * the same bye, both strike it out, flushed, and only then the owner goes on at its cursor; otherwise every block that was
 * opened is closed and spending begins above the horizon.
 */
export class Startup {
  private begun = false
  private stopping: (() => void) | undefined
  private stopped = false
  private mayResume = false
  /** The peer has struck our bye, and the cursor is not taken up yet: a connection that is made meanwhile must not begin above it. */
  private resuming = false
  /** The bye of the peer that was struck for it in this start: its question may come twice, its use only once (its own strike). */
  private struck = 0
  private begin: (() => void) | undefined

  constructor (private readonly core: PoolCore, private readonly lane: OwnerLane) {}

  /** The peer's hello is here. `voided`: nothing is left to resume. */
  met (hello: Body<'hello'>, voided: boolean): void {
    const { core } = this
    const { meta } = core
    if (meta.byeTheirs !== null && meta.byeTheirs.number !== hello.mine.bye) core.commit(() => { meta.byeTheirs = null })
    const { yours } = hello
    this.mayResume = !this.begun && !voided && meta.bye !== null && yours !== null && yours.bye === meta.bye.number &&
      yours.incarnation === meta.bye.incarnation && sameBytes(yours.storeId, core.storeId)
  }

  ready (begin: () => void): void {
    const { core } = this
    if (this.stopped) return
    this.begin = () => { if (!this.stopped) begin() }
    if (this.begun) { if (!this.resuming) begin(); return } // A reconnection within one start: nothing was lost.
    if (this.mayResume && core.meta.bye !== null) core.send('resume', { bye: core.meta.bye.number })
    else this.beginAbove()
  }

  /** The resume, or its answer, may have found no pad: asked again until it is answered. */
  tick (): void {
    if (!this.begun && this.mayResume && this.begin !== undefined && this.core.meta.bye !== null && !this.stopped) this.core.send('resume', { bye: this.core.meta.bye.number })
  }

  private opened (): BlockRow[] {
    return [...this.core.blocks.values()].filter((b) => b.owner === 'mine' && b.purpose === 'app' && b.state === 'open')
  }

  private beginAbove (): void {
    const { core } = this
    this.begun = true
    core.meta.bye = null
    this.lane.closeAllOpened(this.opened())
    core.durable(() => { this.begin?.() })
  }

  onResume (body: Body<'resume'>): void {
    const { core } = this
    const accepted = core.meta.byeTheirs?.number === body.bye || this.struck === body.bye
    this.struck = accepted ? body.bye : 0
    core.commit(() => { core.meta.byeTheirs = null })
    core.durable(() => { core.send('resumeAck', { bye: body.bye, accepted }) })
  }

  onResumeAck (body: Body<'resumeAck'>): void {
    const { core } = this
    const bye = core.meta.bye
    if (this.begun || bye === null || bye.number !== body.bye) return
    const cursor = bye.cursors.find((c) => c.lane === 0)
    if (!body.accepted || cursor === undefined) { this.beginAbove(); return }
    this.begun = this.resuming = true
    const opened = this.opened()
    core.commit(() => { core.meta.bye = null })
    core.durable(() => {
      if (this.stopped) return // Struck and not used: the next start begins above.
      this.lane.start.resume(opened.filter((b) => core.blocks.get(b.number) === b), cursor) // A void may have come between.
      core.durable(() => {
        this.resuming = false
        this.begin?.()
      })
    })
  }

  // --- the end ------------------------------------------------------------------------------------------------

  async stop (timeoutMs: number): Promise<void> {
    const { core } = this
    this.stopped = true
    const began = this.begun && this.lane.spending
    const cursor = this.lane.stop()
    if (!began) { await core.deps.kv.flushed(); return }
    this.lane.settle()
    core.commit(() => {
      this.lane.bookCuts()
      core.meta.bye = { number: ++core.meta.byeCount, incarnation: core.deps.incarnation.number, cursors: [{ lane: 0, ...cursor }] }
    })
    await core.deps.kv.flushed()
    const { bye } = core.meta
    if (bye === null || !core.send('bye', { incarnation: bye.incarnation, bye: bye.number, cursors: bye.cursors.map((c) => ({ ...c })) })) return
    await new Promise<void>((resolve) => {
      const cancel = core.deps.clock.after(timeoutMs, resolve)
      this.stopping = () => { cancel(); resolve() }
    })
  }

  onBye (body: Body<'bye'>): void {
    const { core } = this
    if (body.incarnation !== core.meta.theirIncarnation) throw core.protocol('a bye of another start')
    core.commit(() => { core.meta.byeTheirs = { number: body.bye, incarnation: body.incarnation, cursors: body.cursors } })
    core.durable(() => { core.send('byeAck', { bye: body.bye }) })
  }

  onByeAck (body: Body<'byeAck'>): void { if (body.bye === this.core.meta.bye?.number) this.stopping?.() }
}
