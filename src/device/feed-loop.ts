/** Runs one piece of asynchronous work at a time, and once more for whatever was asked meanwhile. */
export class FeedLoop {
  private busy = false
  private again = false
  private ended = false
  private idle: (() => void) | undefined

  /** @param failed What `work` threw; nothing runs after it. */
  constructor (private readonly work: () => Promise<void>, private readonly failed: (error: unknown) => void) {}

  get stopped (): boolean { return this.ended }

  kick (): void {
    if (this.ended) return
    if (this.busy) { this.again = true; return }
    this.busy = true
    this.turn().then(undefined, (error: unknown) => {
      const wasEnded = this.ended
      this.ended = true
      if (!wasEnded) this.failed(error)
    }).finally(() => {
      this.busy = false
      this.idle?.()
    })
  }

  private async turn (): Promise<void> {
    do {
      this.again = false
      await this.work()
    } while (this.again && !this.ended)
  }

  /** Nothing new starts. `then` runs when what is under way has ended: for closing what it uses. */
  stop (then: () => void): void {
    this.ended = true
    if (this.busy) this.idle = then
    else then()
  }
}

/** The text of what was thrown. Errors of the system carry paths and codes, never content. */
export const causeOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
export const codeOf = (error: unknown): string => error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
