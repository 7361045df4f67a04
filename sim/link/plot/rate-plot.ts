import type { Experiment } from '../analysis/experiments.js'
import { FONT, GRID, INK, LINE_ICON, axis, palette, renderSvg } from './chart.js'
import { powerOfTen } from './powers.js'

/** One curve: key rate in bit/s (0: no key) against distance in km. */
export interface RateSeries { readonly name: string, readonly points: readonly { readonly lengthKm: number, readonly rateBps: number }[] }

interface Group { readonly name: string, readonly symbol: string, readonly fill: string, readonly edge: string, readonly has: (e: Experiment) => boolean }

/** Markers tell how a number was obtained, and set another protocol apart. */
const groups: readonly Group[] = [
  { name: 'published', symbol: 'diamond', fill: INK, edge: INK, has: (e) => e.protocol !== 'COW' && e.provenance === 'read in the source' },
  { name: 'published (second hand)', symbol: 'diamond', fill: '#ffffff', edge: INK, has: (e) => e.protocol !== 'COW' && e.provenance === 'second hand' },
  { name: 'published (COW protocol)', symbol: 'rect', fill: '#bfbfbf', edge: '#8c8c8c', has: (e) => e.protocol === 'COW' },
]

/** A label goes to the left if another point lies close to the right of this one. */
const labelSide = (e: Experiment, all: readonly Experiment[], reachKm: number): 'left' | 'right' =>
  all.some((o) => o.lengthKm! > e.lengthKm! && o.lengthKm! - e.lengthKm! < reachKm / 10 && Math.abs(Math.log10(o.rateBps / e.rateBps)) < 0.25) ? 'left' : 'right'

const published = (experiments: readonly Experiment[], reachKm: number): Record<string, unknown>[] => {
  const near = experiments.filter((e) => e.lengthKm !== undefined && e.lengthKm <= reachKm)
  return groups.filter((g) => near.some(g.has)).map((g) => ({
    name: g.name, type: 'scatter', symbol: g.symbol, symbolSize: 11, itemStyle: { color: g.fill, borderColor: g.edge, borderWidth: 1.5, opacity: 1 },
    data: near.filter(g.has).map((e) => ({
      value: [e.lengthKm, e.rateBps],
      label: {
        show: true, formatter: e.system, position: labelSide(e, near, reachKm), distance: 7, fontFamily: FONT, fontSize: 11,
        color: '#303030', textBorderColor: '#ffffff', textBorderWidth: 3,
      },
    })),
  }))
}

/**
 * Secret key rate against distance, logarithmic, with published points drawn in. The axis ends where the last
 * curve does, and begins one decade below the smallest rate shown.
 */
export const ratePlot = (title: string, subtitle: string, series: readonly RateSeries[], experiments: readonly Experiment[]): string => {
  const shown = series.map((s) => ({ ...s, points: s.points.filter((p) => p.rateBps > 0) }))
  const lengths = series.flatMap((s) => s.points.map((p) => p.lengthKm)), far = Math.max(...lengths)
  const marks = published(experiments, far), drawn = experiments.filter((e) => e.lengthKm !== undefined && e.lengthKm <= far)
  const rates = [...shown.flatMap((s) => s.points.map((p) => p.rateBps)), ...drawn.map((e) => e.rateBps)]
  const low = rates.length === 0 ? 1 : 10 ** Math.floor(Math.log10(Math.max(Math.min(...rates), Math.max(...rates) * 1e-10)))
  const high = rates.length === 0 ? 10 : 10 ** Math.ceil(Math.log10(Math.max(...rates) * 1.2))
  return renderSvg({
    color: [...palette],
    title: { text: title, subtext: subtitle, left: 'center', top: 10, textStyle: { fontSize: 18, color: INK }, subtextStyle: { fontSize: 12, color: '#595959' } },
    legend: {
      orient: 'vertical', right: 64, top: 84, itemWidth: 16, itemHeight: 11, itemGap: 9, padding: [10, 28, 10, 12], backgroundColor: '#ffffff', borderColor: GRID, borderWidth: 1,
      textStyle: { fontSize: 13, color: INK },
      data: [...shown.map((c) => ({ name: c.name, icon: LINE_ICON })), ...marks.map((m) => ({ name: m.name, icon: m.symbol, itemStyle: m.itemStyle }))],
    },
    grid: { left: 90, right: 50, top: 72, bottom: 70 },
    xAxis: axis('fibre length / km', 'value', { min: Math.min(...lengths), max: far }),
    yAxis: axis('secret key rate / (bit/s)', 'log', { min: low, max: high, nameGap: 58, axisLabel: { formatter: powerOfTen, fontSize: 13, fontFamily: FONT, color: INK } }),
    series: [
      ...shown.map((s) => ({ name: s.name, type: 'line', showSymbol: false, lineStyle: { width: 2.5 }, data: s.points.map((p) => [p.lengthKm, p.rateBps]) })),
      ...marks,
    ],
  })
}
