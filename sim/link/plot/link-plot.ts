import type { BlockAccount } from '../../../src/post/account.js'
import type { BitAccount } from '../run/account.js'
import type { RunResult } from '../run/run.js'
import { FONT, INK, LINE_ICON, axis, palette, renderSvg } from './chart.js'

/** Consecutive steps with the same name, as [name, from, to] in minutes. */
const spans = (names: readonly (string | undefined)[], minutes: (i: number) => number): [string, number, number][] => {
  const found: [string, number, number][] = []
  names.forEach((name, i) => {
    if (name === undefined) return
    const last = found[found.length - 1]
    if (last !== undefined && names[i - 1] === name) last[2] = minutes(i + 1)
    else found.push([name, minutes(i), minutes(i + 1)])
  })
  return found
}

/** QBER and key rate against time in two panels, with cuts and Eve's presence shaded. */
export const linkPlot = (title: string, subtitle: string, run: RunResult, stepS: number, qberAbort: number): string => {
  const { steps } = run, minutes = (i: number): number => i * stepS / 60
  const events = spans(steps.map((s) => s.cut ? 'fibre cut' : s.eve === undefined ? undefined : `Eve: ${s.eve}`), minutes)
  const shade = {
    silent: true, label: { fontSize: 12, fontFamily: FONT, color: '#7f0000', position: 'insideTop' },
    data: events.map(([name, from, to]) => [{ name, xAxis: from, itemStyle: { color: name === 'fibre cut' ? 'rgba(90,90,90,0.15)' : 'rgba(213,94,0,0.15)' } }, { xAxis: to }]),
  }
  const line = (name: string, colour: string, value: (i: number) => number, panel: number, more = {}) => ({
    name, type: 'line', xAxisIndex: panel, yAxisIndex: panel, showSymbol: false, lineStyle: { width: 1.8, color: colour }, itemStyle: { color: colour },
    data: steps.map((_, i) => { const y = value(i); return [minutes(i), Number.isFinite(y) ? y : null] }), ...more,
  })
  // Key comes in blocks: its rate is drawn over the time since the block before.
  const key: [number, number][] = []
  let since = 0
  for (const block of run.blocks) {
    const rate = block.keyBits / (block.timeS - since) / 1e3
    key.push([since / 60, rate], [block.timeS / 60, rate])
    since = block.timeS
  }
  const end = minutes(steps.length)
  return renderSvg({
    title: { text: title, subtext: subtitle, left: 'center', top: 10, textStyle: { fontSize: 18, color: INK }, subtextStyle: { fontSize: 12, color: '#595959' } },
    legend: { top: 62, itemWidth: 22, itemHeight: 11, itemGap: 30, icon: LINE_ICON, textStyle: { fontSize: 13, color: INK } },
    grid: [{ left: 90, right: 40, top: 100, height: 220 }, { left: 90, right: 40, top: 380, height: 200 }],
    xAxis: [axis('', 'value', { gridIndex: 0, min: 0, max: end, axisLabel: { show: false } }), axis('time / min', 'value', { gridIndex: 1, min: 0, max: end })],
    yAxis: [axis('QBER / %', 'value', { gridIndex: 0, min: 0, nameGap: 52 }), axis('rate / (kbit/s)', 'value', { gridIndex: 1, min: 0, nameGap: 64 })],
    series: [
      line('key basis', palette[0], (i) => steps[i]!.qberKey * 100, 0, { markArea: shade, markLine: { silent: true, symbol: 'none', label: { formatter: 'abort', position: 'insideEndTop' }, lineStyle: { color: '#7f0000', type: 'dashed' }, data: [{ yAxis: qberAbort * 100 }] } }),
      line('test basis', palette[1], (i) => steps[i]!.qberTest * 100, 0),
      line('sifted', palette[5], (i) => steps[i]!.siftedBps / 1e3, 1, { markArea: { ...shade, label: { show: false } } }),
      { name: 'secret key', type: 'line', xAxisIndex: 1, yAxisIndex: 1, showSymbol: false, lineStyle: { width: 2.2, color: palette[2] }, itemStyle: { color: palette[2] }, areaStyle: { color: palette[2], opacity: 0.2 }, data: key },
    ],
  }, 960, 660)
}

interface Bar { readonly name: string, readonly bits: number, readonly colour: string }

/** One bar each, with its share of the first. */
const barPlot = (title: string, bars: readonly Bar[]): string => {
  const whole = bars[0]!.bits, share = (bits: number): string => whole === 0 ? '' : ` (${(bits / whole * 100).toFixed(1)} %)`
  return renderSvg({
    title: { text: title, left: 'center', top: 10, textStyle: { fontSize: 18, color: INK } },
    grid: { left: 170, right: 130, top: 60, bottom: 60 },
    xAxis: axis('Mbit', 'value', { min: 0 }),
    yAxis: axis('', 'category', { inverse: true, data: bars.map(({ name }) => name) }),
    series: [{
      type: 'bar', barWidth: '62%',
      data: bars.map(({ bits, colour }) => ({ value: bits / 1e6, itemStyle: { color: colour }, label: { show: true, position: 'right', fontSize: 12, color: INK, formatter: `${(bits / 1e6).toPrecision(4)}${share(bits)}` } })),
    }],
  }, 960, 480)
}

/** Where the detected bits went, in Mbit with their share. */
export const accountPlot = (title: string, account: BitAccount): string => barPlot(title, [
  { name: 'detections', bits: account.detections, colour: palette[6] }, { name: 'bases differ', bits: account.mismatched, colour: palette[5] },
  { name: 'test basis', bits: account.test, colour: palette[4] }, { name: 'waiting', bits: account.waiting, colour: '#bfbfbf' },
  { name: 'discarded', bits: account.discarded, colour: palette[1] }, { name: 'error correction', bits: account.leaked, colour: palette[3] },
  { name: 'verification', bits: account.verification, colour: palette[3] }, { name: 'privacy amplification', bits: account.compressed, colour: palette[0] },
  { name: 'secret key', bits: account.net, colour: palette[2] },
])

/** The same for real bits: where the sifted bits of all blocks went. */
export const blockAccountPlot = (title: string, account: BlockAccount): string => barPlot(title, [
  { name: 'sifted', bits: account.sifted, colour: palette[6] }, { name: 'blocks without key', bits: account.discarded, colour: palette[1] },
  { name: 'error correction', bits: account.leaked, colour: palette[3] }, { name: 'verification', bits: account.verified, colour: palette[3] },
  { name: 'privacy amplification', bits: account.compressed, colour: palette[0] }, { name: 'authentication', bits: account.authenticated + account.cut, colour: palette[4] },
  { name: 'secret key', bits: account.net, colour: palette[2] },
])
