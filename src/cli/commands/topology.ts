import { Option, type Command } from 'commander'
import type { HopView, TopologyView } from '../../admin/port.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { grouped, table } from '../output.js'

interface TopologyOptions { readonly config?: string, readonly socket?: string, readonly format: 'text' | 'dot' | 'mermaid' }

/** `qkme topology` */
export const registerTopology = (program: Command, context: CliContext): void => {
  withAdminOptions(program.command('topology')).description('The network as this KME knows it: KMEs, links with stock and rate, routes.')
    .addOption(new Option('--format <format>', 'text, or a picture for Graphviz (dot) or Mermaid').choices(['text', 'dot', 'mermaid']).default('text'))
    .addHelpText('after', '\nExamples:\n  qkme topology --config kme-a.yaml\n  qkme topology --config kme-a.yaml --format dot | dot -Tsvg > network.svg\n  qkme topology --config kme-a.yaml --json | jq .routes\n\nStock and rate are lower bounds: they are announced as powers of two.\nLAST SAID: how long ago a KME announced its links, in seconds. START: which start of its process said so. RECORD: the number of the\nannouncement, counted from that start. RELAYS, HYBRID: whether it relays for others, and whether it makes hybrid keys.\nExit code 1 if there is no route to some KME.\n')
    .action(async (options: TopologyOptions, command: Command) => {
      const out = outputOf(context, command)
      const topology = await (await adminOf(context, options)).get('/v1/topology') as TopologyView
      out.data(topology)
      out.line(options.format === 'dot' ? asDot(topology) : options.format === 'mermaid' ? asMermaid(topology) : asText(topology))
      if (topology.routes.some((route) => route.problem !== null)) context.exit.code = exitCodes.failed.code
    })
}

const amount = (hop: HopView | null): string => hop === null ? 'not announced' : `${hop.state === 'up' ? '' : `${hop.state}, `}${bytes(hop.stockBytes)}, ${bytes(hop.bytesPerS)}/s`

const bytes = (count: number): string => {
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'].findIndex((_, i, all) => count < 1_024 ** (i + 1) || i === all.length - 1)
  return `${grouped(Math.round(count / 1_024 ** unit))} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`
}

/** Tables of KMEs, links and routes. */
export const asText = ({ self, nodes, links, routes }: TopologyView): string => [
  table(['KME', 'SAES', 'RELAYS', 'HYBRID', 'LAST SAID', 'START', 'RECORD'], nodes.map(({ kme, saes, announced }) => [
    kme === self ? `${kme} (this)` : kme, grouped(saes), announced === null ? '-' : announced.transit ? 'yes' : 'no', announced === null ? '-' : announced.hybrid ? 'yes' : 'no',
    ...announced === null ? ['never', '-', '-'] : [`${grouped(announced.ageS)} s ago`, grouped(announced.incarnation), grouped(announced.sequence)],
  ]), 'lrllrrr'),
  ...links.length === 0 ? [] : ['', table(['LINK', 'STATE', 'STOCK, RATE ONE WAY', 'OTHER WAY'], links.map(({ a, b, state, ab, ba }) => [`${a} - ${b}`, state, amount(ab), amount(ba)]), 'll')],
  ...routes.length === 0 ? [] : ['', table(['ROUTE TO', 'COST', 'DISJOINT', 'OVER'], routes.map(({ to, nodes: way, cost, isStatic, disjointPaths, problem }) => [
    to, cost === null ? '-' : grouped(cost), String(disjointPaths), problem ?? `${way.join(' - ')}${isStatic ? ' (configured)' : ''}`,
  ]), 'lrr')],
].join('\n')

/** IDs hold no quotation marks or backslashes (RFC 3986), so quoting is enough. */
const quoted = (text: string): string => `"${text}"`

const countOf = (saes: number): string => `${grouped(saes)} SAE${saes === 1 ? '' : 's'}`

const colours: Readonly<Record<string, string>> = { up: 'black', degraded: 'orange', down: 'red', 'one-sided': 'gray' }

/** A graph for Graphviz; links of the routes in use are bold. */
export const asDot = (topology: TopologyView): string => {
  const used = hopsInUse(topology)
  return [
    'graph qkme {', '  node [shape=box];',
    ...topology.nodes.map(({ kme, saes, announced }) => `  ${quoted(kme)} [label="${kme}\\n${countOf(saes)}"${kme === topology.self ? ', penwidth=3' : ''}${announced === null ? ', style=dashed' : ''}];`),
    ...topology.links.map(({ a, b, state, ab, ba }) => `  ${quoted(a)} -- ${quoted(b)} [label="${amount(ab)}\\n${amount(ba)}", color=${colours[state] ?? 'black'}${used.has(`${a} ${b}`) ? ', penwidth=2' : ''}];`),
    '}',
  ].join('\n')
}

/** A flow chart for Mermaid. Names of KMEs are labels only: they may hold what Mermaid does not take as an identifier. */
export const asMermaid = (topology: TopologyView): string => {
  const used = hopsInUse(topology)
  const names = new Map(topology.nodes.map(({ kme }, i) => [kme, `n${i}`]))
  const escaped = (text: string): string => text.replace(/[#;"&<>]/g, (c) => `#${c.charCodeAt(0)};`)
  return [
    'flowchart LR',
    ...topology.nodes.map(({ kme, saes }) => `  ${names.get(kme)}["${escaped(kme)}<br/>${countOf(saes)}"]`),
    ...topology.links.map(({ a, b, state, ab }) => `  ${names.get(a)} ${state === 'up' || state === 'degraded' ? (used.has(`${a} ${b}`) ? '===' : '---') : '-.-'}|"${escaped(state === 'up' ? amount(ab) : state)}"| ${names.get(b)}`),
  ].join('\n')
}

const hopsInUse = ({ routes }: TopologyView): Set<string> => new Set(routes.flatMap(({ nodes }) => nodes.slice(1).map((node, i) => {
  const before = nodes[i]!
  return before < node ? `${before} ${node}` : `${node} ${before}`
})))
