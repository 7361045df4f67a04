/** What a row of the table says, and the arithmetic of interleaved pairs. */

/** `baseline` and `ratio` are null where there is nothing to compare with. `spread`: quartiles of what is judged. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly baseline: number | null
  readonly ratio: number | null
  readonly target: string
  readonly reached: boolean
  readonly spread: readonly [number, number]
  readonly pairs: number
  readonly note: string
}

export const quantile = (values: readonly number[], part: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const at = part * (sorted.length - 1), low = Math.floor(at)
  return sorted[low]! + (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!) * (at - low)
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

const quartiles = (values: readonly number[]): [number, number] => [quantile(values, 0.25), quantile(values, 0.75)]

export interface Pair { readonly value: number, readonly baseline: number }

/** Measures in pairs whose order turns each time, so that a machine that drifts favours neither. */
export const runPairs = async (pairs: number, ours: () => Promise<number>, bare: () => Promise<number>): Promise<Pair[]> => {
  const out: Pair[] = []
  for (let i = 0; i < pairs; i++) {
    if (i % 2 === 0) {
      const baseline = await bare()
      out.push({ value: await ours(), baseline })
    } else {
      const value = await ours()
      out.push({ value, baseline: await bare() })
    }
  }
  return out
}

/** A row that is judged by its ratio to the bare server. */
export const ratioFigure = (name: string, unit: string, pairs: readonly Pair[], targetRatio: number, note: string): Figure => {
  const ratios = pairs.map(({ value, baseline }) => value / baseline), ratio = median(ratios)
  return {
    name, unit, value: median(pairs.map((p) => p.value)), baseline: median(pairs.map((p) => p.baseline)), ratio,
    target: `ratio >= ${targetRatio}`, reached: ratio >= targetRatio, spread: quartiles(ratios), pairs: pairs.length, note,
  }
}

/** A row that is judged by its own value. */
export const valueFigure = (name: string, unit: string, values: readonly number[], target: { readonly atLeast: number } | { readonly atMost: number }, note: string): Figure => {
  const value = median(values)
  const [text, reached] = 'atLeast' in target ? [`>= ${target.atLeast}`, value >= target.atLeast] : [`<= ${target.atMost}`, value <= target.atMost]
  return { name, value, unit, baseline: null, ratio: null, target: `${text} ${unit}`, reached, spread: quartiles(values), pairs: values.length, note }
}

const short = (n: number): string => n >= 1_000 ? Math.round(n).toLocaleString('en') : n.toPrecision(3)

/** One line of the table. */
export const line = (f: Figure): string => [
  f.name.padEnd(34), `${short(f.value)} ${f.unit}`.padStart(20), (f.baseline === null ? '' : short(f.baseline)).padStart(10),
  (f.ratio === null ? '' : f.ratio.toFixed(3)).padStart(7), `${short(f.spread[0])}..${short(f.spread[1])}`.padStart(18), f.target.padStart(22), f.reached ? 'reached' : 'NOT reached', f.note,
].join('  ')

export const TABLE_HEAD = ['| Work | Found | Beside it | Ratio | Quartiles | To reach | |', '|---|---|---|---|---|---|---|']

/** The same line for docs/performance.md. */
export const tableRow = (f: Figure): string => `| ${[
  f.name.trim(), `${short(f.value)} ${f.unit}`, f.baseline === null ? '' : short(f.baseline), f.ratio === null ? '' : f.ratio.toFixed(2),
  `${short(f.spread[0])} to ${short(f.spread[1])}`, f.target, f.reached ? 'reached' : '**not reached**',
].join(' | ')} |`
