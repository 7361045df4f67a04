import type { SaeId } from '../kernel/ids.js'

/**
 * Requests of one SAE that are served in one go. A client that pipelines can fill a read of 512 KiB with thousands of
 * them, and the library hands them over one after the other: nobody else is served meanwhile.
 */
const BURST_MAX = 64

/**
 * Gives each SAE its share of a turn of the event loop. What is above it waits for the next turn. So the first pipelined
 * request above it has an answer that is not there yet, and the one behind that ends the connection; an SAE with many
 * connections only waits for the turn.
 */
export class Bursts {
  #caller: SaeId = ''
  #count = 0
  #armed = false
  #later: (() => void)[] = []

  /** Call once for each request. Requests of a pipeline come without any other between them. */
  isAbove (caller: SaeId): boolean {
    if (caller !== this.#caller) {
      this.#caller = caller
      this.#count = 0
    }
    // Half is counted before the turn's end is asked for: most turns are short and need none.
    if (++this.#count >= BURST_MAX / 2) this.#arm()
    return this.#count > BURST_MAX
  }

  /** Runs `serve` in the next turn. It must not throw. Bounded by the connections, which have one unfinished answer each. */
  nextTurn (serve: () => void): void {
    this.#later.push(serve)
    this.#arm()
  }

  #arm (): void {
    if (this.#armed) return
    this.#armed = true
    setImmediate(() => {
      this.#armed = false
      this.#count = 0
      const later = this.#later
      this.#later = []
      for (const serve of later) serve()
    })
  }
}
