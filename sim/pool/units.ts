/** Bytes of one unit: what the ledger follows through a run. */
const UNIT_BYTES = 8
const CAPACITY_AT_FIRST = 1 << 12

/**
 * What became of every 8 bytes of key that a run has seen. A run looks some hundred thousand of them up, so that they are numbers in
 * arrays and not strings in a Map. Key bits are uniform, so that their first 32 bits are a good hash.
 */
export class Units<T extends object> {
  private words = new Uint32Array(2 * CAPACITY_AT_FIRST)
  private uses: (T | undefined)[] = new Array<T | undefined>(CAPACITY_AT_FIRST).fill(undefined)
  private count = 0

  /** Calls `then` for each whole unit: what is known of it, and how to write down what it is from now on. */
  each (bytes: Uint8Array, then: (known: T | undefined, put: (use: T) => void) => void): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at + UNIT_BYTES <= bytes.length; at += UNIT_BYTES) {
      if (2 * this.count >= this.uses.length) this.grow()
      const low = view.getUint32(at), high = view.getUint32(at + 4), place = this.placeOf(low, high)
      then(this.uses[place], (use) => { this.put(place, low, high, use) })
    }
  }

  /** Where it is, or would be. */
  private placeOf (low: number, high: number): number {
    const { words, uses } = this
    let place = low & (uses.length - 1)
    while (uses[place] !== undefined && !(words[2 * place] === low && words[2 * place + 1] === high)) place = (place + 1) & (uses.length - 1)
    return place
  }

  private put (place: number, low: number, high: number, use: T): void {
    if (this.uses[place] === undefined) this.count++
    this.words[2 * place] = low
    this.words[2 * place + 1] = high
    this.uses[place] = use
  }

  private grow (): void {
    const { words, uses } = this
    this.words = new Uint32Array(2 * words.length)
    this.uses = new Array<T | undefined>(2 * uses.length).fill(undefined)
    this.count = 0
    uses.forEach((use, i) => {
      if (use !== undefined) this.put(this.placeOf(words[2 * i]!, words[2 * i + 1]!), words[2 * i]!, words[2 * i + 1]!, use)
    })
  }
}
