/** Stretches of frames that were never sent: [from, to), rising. Behind the slower side they are forgotten. */
export class Dropped {
  private ranges: { from: number, to: number }[] = []
  frames = 0

  add (from: number, to: number): void {
    if (to <= from) return
    this.frames += to - from
    const last = this.ranges.at(-1)
    if (last !== undefined && last.to === from) last.to = to
    else this.ranges.push({ from, to })
  }

  /** The first frame at or after `frame` that was not dropped. */
  skip (frame: number): number {
    let next = frame
    for (const range of this.ranges) if (next >= range.from && next < range.to) next = range.to
    return next
  }

  forgetBelow (frame: number): void {
    while (this.ranges.length > 0 && this.ranges[0]!.to <= frame) this.ranges.shift()
  }
}
