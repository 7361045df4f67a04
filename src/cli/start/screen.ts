import { MultiBar, type SingleBar } from 'cli-progress'
import type { Clock } from '../../kernel/time.js'
import { grouped, type Streams } from '../output.js'

/** How full one pool is, and how it changes. */
export interface Level { readonly name: string, readonly stockKeys: number, readonly goalKeys: number, readonly bitsPerS: number, readonly state: string }

const plainEveryMs = 1_000
const columnsOf = { bar: 24, keys: 10 } as const

export const rateText = (bitsPerS: number): string => {
  const [value, unit] = bitsPerS >= 1e9 ? [bitsPerS / 1e9, 'Gbit/s'] : bitsPerS >= 1e6 ? [bitsPerS / 1e6, 'Mbit/s'] : bitsPerS >= 1e3 ? [bitsPerS / 1e3, 'kbit/s'] : [bitsPerS, 'bit/s']
  return `${value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1)} ${unit}`
}

/**
 * What a person sees: lines with a mark, and bars at the foot while pools fill. In a terminal the bars move; elsewhere (a file,
 * a CI log) they are plain lines, one a second at most and only when something changed.
 */
export class Screen {
  private bars: { readonly multi: MultiBar, readonly byName: Map<string, SingleBar> } | undefined
  private lastPlain = ''
  private lastPlainMs = -Infinity

  constructor (private readonly streams: Streams, private readonly stream: NodeJS.WriteStream | undefined, private readonly clock: Clock) {}

  get isTerminal (): boolean { return this.stream?.isTTY === true }

  done (text: string): void { this.line(`✓ ${text}`) }
  begin (text: string): void { this.line(`… ${text}`) }
  failed (text: string): void { this.line(`✗ ${text}`) }
  warn (text: string): void { this.line(`! ${text}`) }

  /** Above the bars, which are taken away first. */
  line (text = ''): void {
    this.endBars()
    this.streams.out(`${text}\n`)
  }

  levels (levels: readonly Level[]): void {
    if (this.isTerminal) this.drawBars(levels)
    else this.drawPlain(levels)
  }

  /** Leaves the bars as they stand and gives the cursor back. */
  endBars (): void {
    this.bars?.multi.stop()
    this.bars = undefined
  }

  private drawBars (levels: readonly Level[]): void {
    this.bars ??= {
      multi: new MultiBar({
        stream: this.stream as NodeJS.WriteStream, hideCursor: true, gracefulExit: false, barsize: columnsOf.bar, barCompleteChar: '█', barIncompleteChar: '░',
        format: '  {name} {bar} {percentage} %  {keys} keys  {rate}  {state}', emptyOnZero: true, autopadding: true,
      }),
      byName: new Map(),
    }
    for (const level of levels) {
      const { multi, byName } = this.bars
      const payload = { name: level.name, keys: grouped(level.stockKeys).padStart(columnsOf.keys), rate: signed(level.bitsPerS), state: level.state }
      const at = Math.min(level.stockKeys, level.goalKeys), bar = byName.get(level.name)
      if (bar === undefined) byName.set(level.name, multi.create(level.goalKeys, at, payload))
      else {
        bar.setTotal(level.goalKeys)
        bar.update(at, payload)
      }
    }
    this.bars.multi.update()
  }

  private drawPlain (levels: readonly Level[]): void {
    const text = levels.map(({ name, stockKeys, goalKeys, bitsPerS, state }) =>
      `${name} ${Math.min(100, Math.floor(stockKeys / goalKeys * 100))} %, ${grouped(stockKeys)} keys, ${signed(bitsPerS).trim()}, ${state}`).join(' | ')
    if (text === this.lastPlain || this.clock.monoMs() - this.lastPlainMs < plainEveryMs) return
    this.lastPlain = text
    this.lastPlainMs = this.clock.monoMs()
    this.streams.out(`  ${text}\n`)
  }
}

const signed = (bitsPerS: number): string => `${bitsPerS < 0 ? '-' : '+'}${rateText(Math.abs(bitsPerS))}`.padStart(11)
