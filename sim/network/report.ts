import { figure, table } from '../link/cli/output.js'
import { axis, FONT, INK, LINE_ICON, palette, renderSvg } from '../link/plot/chart.js'
import type { Moment, RunResult } from './run.js'

const sum = (numbers: Iterable<number>): number => { let s = 0; for (const n of numbers) s += n; return s }
const mib = (bytes: number): string => `${figure(bytes / 1_048_576, 3)} MiB`

/** Accounts as they were last heard: a KME that is down has what it had, for its store keeps it. */
const asHeard = (moments: readonly Moment[]): readonly Moment[] => {
  const heard = new Map<string, Moment['samples'][number]['account']>()
  return moments.map((moment) => ({
    ...moment,
    samples: moment.samples.map((s) => {
      if (s.isUp) heard.set(s.kme, s.account)
      return s.isUp ? s : { ...s, account: heard.get(s.kme) ?? {} }
    }),
  }))
}

const account = (moment: Moment | undefined, what: string): number => sum((moment?.samples ?? []).map((s) => s.account[what] ?? 0))

/** The run as tables for a terminal. */
export const textReport = (r: RunResult): string => {
  const { scenario: s } = r, last = asHeard(r.moments).at(-1)
  const pairs = table(['from to', 'asked', 'keys', 'failed', 'slowest ms', 'reasons'], r.pairs.map((p) => [
    `${p.from} ${p.to}`, String(p.asked), String(p.keys), String(p.failed), figure(p.slowestMs, 3), Object.entries(p.why).map(([why, n]) => `${why} (${n})`).join('; '),
  ]))
  const accounts = table(['account', 'bytes'], accountNames(last).map((name) => [name, mib(account(last, name))]))
  return [
    `${s.name} (${s.mode}, ${s.kmes.length} KMEs, ${s.links.length} links, ${s.relayed.length} relayed pools, ${s.seconds} s)`, '', pairs, '', accounts, '',
    `keys delivered ${last?.delivered ?? 0}, requests failed ${last?.failed ?? 0}, unequal keys ${r.unequal}, accounts off by ${r.differenceBits} bits`,
  ].join('\n')
}

const accountNames = (moment: Moment | undefined): string[] => [...new Set((moment?.samples ?? []).flatMap((s) => Object.keys(s.account)))].sort()

/** Everything that was measured, for other programs. */
export const jsonReport = (r: RunResult): string => `${JSON.stringify({
  name: r.scenario.name, mode: r.scenario.mode, seed: r.scenario.seed, seconds: r.scenario.seconds, kmes: r.scenario.kmes, pairs: r.pairs, events: r.events, hops: r.hops,
  unequal: r.unequal, differenceBits: r.differenceBits, moments: r.moments,
}, undefined, 1)}\n`

interface Line { readonly name: string, /** Nothing is drawn where there is no value. */ readonly points: readonly (readonly [number, number | null])[] }

const plot = (title: string, unit: string, lines: readonly Line[], r: RunResult): string => renderSvg({
  color: [...palette],
  title: { text: title, left: 'center', textStyle: { fontFamily: FONT, fontSize: 18, fontWeight: 'normal', color: INK } },
  grid: { left: 80, right: 200, top: 50, bottom: 60 },
  legend: { orient: 'vertical', right: 10, top: 50, icon: LINE_ICON, textStyle: { fontFamily: FONT, fontSize: 12, color: INK } },
  xAxis: axis('time (s)', 'value', { max: Math.ceil(r.moments.at(-1)?.atS ?? r.scenario.seconds) }), yAxis: axis(unit, 'value', { nameGap: 52 }),
  series: lines.map((line, i) => ({
    type: 'line', name: line.name, showSymbol: false, data: line.points.map((p) => [...p]), lineStyle: { width: 2, type: i < palette.length ? 'solid' : 'dashed' },
    ...(i > 0 ? {} : { markLine: { silent: true, symbol: 'none', label: { show: false }, lineStyle: { color: '#999999', type: 'dotted' }, data: r.events.map((e) => ({ xAxis: e.atS })) } }),
  })),
}, 1_000, 420)

/** Growth per second; none where a store was rolled back. */
const rateOf = (moments: readonly Moment[], value: (m: Moment) => number): (readonly [number, number])[] =>
  moments.slice(1).map((m, i) => [m.atS, Math.max(0, value(m) - value(moments[i]!)) / Math.max(1e-3, m.atS - moments[i]!.atS)] as const)

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => escapes[c]!)

/** Hops of a pair's blocks: the way is known at one end at least, and over a link it is one. */
const hopsOf = ({ hops, scenario }: RunResult, from: string, to: string): number | '' =>
  hops[`${from} ${to}`] ?? hops[`${to} ${from}`] ?? (scenario.links.some(({ between }) => between.includes(from) && between.includes(to)) ? 1 : '')

/** A page with plots that stands for itself: no script, nothing fetched. */
export const htmlReport = (r: RunResult): string => {
  const moments = asHeard(r.moments)
  const stockOf = (m: Moment, kme: string): number | null => {
    const sample = m.samples.find((s) => s.kme === kme)
    return sample?.isUp === true ? sum(Object.values(sample.stock)) / 1_048_576 : null
  }
  const spread = (name: string, pick: (sorted: readonly number[]) => number | undefined): Line => ({
    name, points: moments.map((m) => [m.atS, pick(r.scenario.kmes.map((kme) => stockOf(m, kme)).filter((bytes) => bytes !== null).sort((a, b) => a - b)) ?? null] as const),
  })
  // More lines than colours would say nothing.
  const stock: Line[] = r.scenario.kmes.length <= palette.length
    ? r.scenario.kmes.map((kme) => ({ name: kme, points: moments.map((m) => [m.atS, stockOf(m, kme)] as const) }))
    : [spread('the most', (sorted) => sorted.at(-1)), spread('median', (sorted) => sorted[sorted.length >> 1]), spread('the least', (sorted) => sorted[0])]
  const plots = [
    plot('Keys delivered to both SAEs, and requests that failed', 'per second', [{ name: 'keys', points: rateOf(moments, (m) => m.delivered) }, { name: 'failed requests', points: rateOf(moments, (m) => m.failed) }], r),
    plot(stock.length < r.scenario.kmes.length ? 'Stock that own lanes of a KME can deliver' : 'Stock that own lanes can deliver', 'MiB', stock, r),
    plot('Bytes by what became of them, all KMEs', 'MiB', ['ingested', 'delivered', 'relay', 'stock', 'authentication', 'confirmation'].map((name) => ({ name, points: moments.map((m) => [m.atS, account(m, name) / 1_048_576] as const) })), r),
    plot('Taken from links and from the relay', 'Mbit/s', [{ name: 'ingested', points: rateOf(moments, (m) => account(m, 'ingested') * 8 / 1e6) }, { name: 'relay', points: rateOf(moments, (m) => account(m, 'relay') * 8 / 1e6) }], r),
  ]
  const rows = r.pairs.map((p) => `<tr><td>${escape(`${p.from} to ${p.to}`)}<td>${p.asked}<td>${p.keys}<td>${p.failed}<td>${figure(p.slowestMs, 3)}<td>${hopsOf(r, p.from, p.to)}<td>${escape(Object.entries(p.why).map(([why, n]) => `${why} (${n})`).join('; '))}`)
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(r.scenario.name)}</title>
<style>:root{color-scheme:light}body{background:#fff;font:15px/1.5 Helvetica,Arial,sans-serif;color:${INK};max-width:1040px;margin:2em auto;padding:0 1em}figure{margin:0;overflow-x:auto}svg{max-width:100%;min-width:640px;height:auto}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}td:first-child{white-space:nowrap}</style>
<h1>${escape(r.scenario.name)}</h1>
<p>${escape(r.scenario.about)}</p>
<p>${r.scenario.kmes.length} KMEs, ${r.scenario.links.length} QKD links, ${r.scenario.relayed.length} relayed pools, ${r.scenario.seconds} s, ${r.scenario.mode}, seed ${r.scenario.seed}. Unequal keys: ${r.unequal}. Accounts off by ${r.differenceBits} bits.</p>
${plots.map((svg) => `<figure>${svg}</figure>`).join('\n')}
<h2>What happened</h2><ul>${r.events.map((e) => `<li>${e.atS.toFixed(1)} s: ${escape(e.what)}`).join('')}</ul>
<h2>Pairs</h2><figure><table><tr><th>SAEs<th>asked<th>keys<th>failed<th>slowest ms<th>hops<th>reasons${rows.join('')}</table></figure>
</html>
`
}
