/** Loops that were told to stop while they worked, by the place they work on, until they have. */
const ending = new Map<string, Promise<void>>()

/**
 * Runs one piece of asynchronous work at a time, and once more for whatever was asked meanwhile. Of several loops that name the
 * same place (a folder, a file) a new one begins when the one before has ended, although that was told to stop long ago: else an
 * adapter that is opened again reads a file while its predecessor still overwrites it, and both write the same notes.
 */
export class FeedLoop {
  private busy = false
  private again = false
  private ended = false
  private idle: (() => void) | undefined

  /**
   * @param failed What `work` threw; nothing runs after it.
   * @param place What nobody else may work on meanwhile.
   */
  constructor (private readonly work: () => Promise<void>, private readonly failed: (error: unknown) => void, private readonly place?: string) {}

  get stopped (): boolean { return this.ended }

  kick (): void {
    if (this.ended) return
    if (this.busy) { this.again = true; return }
    this.busy = true
    void this.turn()
  }

  private async turn (): Promise<void> {
    try {
      if (this.place !== undefined) await ending.get(this.place)
      do {
        this.again = false
        if (!this.ended) await this.work()
      } while (this.again && !this.ended)
    } catch (error) {
      const wasEnded = this.ended
      this.ended = true
      if (!wasEnded) this.failed(error)
    }
    this.busy = false // In one step with the look at `again`: no kick falls between them.
    this.idle?.()
  }

  /** Nothing new starts. `then` runs when what is under way has ended: for closing what it uses. */
  stop (then: () => void): void {
    const { place } = this
    this.ended = true
    if (!this.busy) { then(); return }
    const end = new Promise<void>((resolve) => { this.idle = () => { then(); resolve() } })
    if (place === undefined) return
    ending.set(place, end)
    void end.then(() => { if (ending.get(place) === end) ending.delete(place) })
  }
}

/** The text of what was thrown. Errors of the system carry paths and codes, never content. */
export const causeOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
export const codeOf = (error: unknown): string => error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
