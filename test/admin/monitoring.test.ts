/** The ready-made files of deploy/monitoring ask for metrics that exist. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
type Metric = readonly [name: string, labels: readonly string[]]
const metric = (name: string, labels: readonly string[]): Metric => [name, labels]

/** Name to its labels, from the table of docs/metrics.md. */
const documented = new Map([...read('docs/metrics.md').matchAll(/^\| `(qkme_[a-z0-9_<>]+)` \| (\w+) \| ([^|]*)\|/gm)].flatMap(([, name = '', type, labels = '']): Metric[] => {
  const known = labels.split(',').map((label) => label.trim()).filter((label) => label !== '')
  const names = name.includes('<sender>') ? ['webhook', 'syslog'].map((sender) => name.replace('<sender>', sender)) : [name]
  return type === 'histogram' ? names.flatMap((n) => ['_bucket', '_sum', '_count'].map((end) => metric(n + end, [...known, 'le']))) : names.map((n) => metric(n, known))
}))

interface Rules { readonly groups: readonly { readonly rules: readonly { readonly alert: string, readonly expr: string, readonly annotations: { readonly summary: string } }[] }[] }
const rules = (parse(read('deploy/monitoring/alerts.yaml')) as Rules).groups.flatMap((group) => group.rules)
interface Dashboard { readonly panels: readonly { readonly title: string, readonly targets: readonly { readonly expr: string, readonly legendFormat?: string }[] }[], readonly templating: { readonly list: readonly { readonly query: { readonly query: string } }[] } }
const dashboard = JSON.parse(read('deploy/monitoring/dashboard.json')) as Dashboard

/** Labels that Prometheus itself puts on. */
const added = ['job', 'instance']

const faults = (expression: string): string[] => {
  const asked = [...expression.matchAll(/\b(qkme_[a-z0-9_]+)\b(?:\{([^}]*)\})?/g)].map(([, name = '', matchers = '']) => ({ name, labels: [...matchers.matchAll(/(\w+)\s*[=!]/g)].map(([, label = '']) => label) }))
  const grouped = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(',').map((label) => label.trim()))
  return asked.flatMap(({ name, labels }) => {
    const known = documented.get(name)
    return known === undefined ? [`${name} is not in docs/metrics.md`] : [...labels, ...grouped].filter((label) => ![...known, ...added].includes(label)).map((label) => `${name} has no label ${label}`)
  })
}

t.test('alert rules and panels ask for metrics and labels that exist', async (t) => {
  t.ok(documented.size > 50, `${documented.size} metrics are documented`)
  for (const { alert, expr } of rules) t.same(faults(expr), [], alert)
  for (const { title, targets } of dashboard.panels) for (const { expr } of targets) t.same(faults(expr), [], title)
  for (const { query } of dashboard.templating.list) t.same(faults(query.query), [])
  t.same([faults('rate(qkme_nothing_total[5m])').length, faults('qkme_pool_blocks{link="1"}').length, faults('sum by (pool) (qkme_saes)').length], [1, 1, 1], 'a wrong one is seen')
})

/** The labels that the series of an expression have, besides those of Prometheus. */
const leftBy = (expression: string): readonly string[] => {
  const by = /\bby \(([^)]*)\)/.exec(expression)?.[1]?.split(',').map((label) => label.trim())
  return by ?? [...expression.matchAll(/\bqkme_[a-z0-9_]+/g)].flatMap(([name]) => documented.get(name) ?? [])
}

t.test('a summary, and the legend of a panel, names only labels that its expression leaves', async (t) => {
  t.ok(rules.length >= 10)
  for (const { alert, expr, annotations: { summary } } of rules) {
    const named = [...summary.matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label).filter((label) => !added.includes(label))
    t.same(named.filter((label) => !leftBy(expr).includes(label)), [], alert)
  }
  const legends = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr, legendFormat = '' }) => ({ title, expr, named: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label) })))
  t.ok(legends.some(({ named }) => named.includes('pool')))
  for (const { title, expr, named } of legends) {
    const left = /\bby \(/.test(expr) ? leftBy(expr) : [...leftBy(expr), ...added]
    t.same(named.filter((label) => !left.includes(label)), [], title)
  }
})
