import { readFileSync } from 'node:fs'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parse } from 'yaml'
import { KmeError } from '../../src/kernel/errors.js'

const closed = { additionalProperties: false } as const
const kme = Type.String({ pattern: '^[A-Za-z0-9-]{1,32}$' })
const pair = Type.Tuple([kme, kme])
const seconds = Type.Number({ minimum: 0, maximum: 86_400 })
const rate = Type.String({ pattern: '^\\d+(\\.\\d+)?[kMG]?$' })

const fault = Type.Union([
  /** Quantum channel: no key any more; back again. */
  Type.Object({ at: seconds, cut: pair }, closed), Type.Object({ at: seconds, restore: pair }, closed),
  Type.Object({ at: seconds, eavesdrop: pair, qber: Type.Number({ minimum: 0, maximum: 0.5 }) }, closed),
  Type.Object({ at: seconds, slow: pair, rate }, closed),
  /** Classical channel: dead in both directions, or only from the first to the second; healed. */
  Type.Object({ at: seconds, partition: pair, oneWay: Type.Optional(Type.Boolean()) }, closed), Type.Object({ at: seconds, heal: pair }, closed),
  /** A KME: SIGKILL and a new start; its store as it was at another time. */
  Type.Object({ at: seconds, kill: kme }, closed), Type.Object({ at: seconds, start: kme }, closed),
  Type.Object({ at: seconds, copy: kme }, closed), Type.Object({ at: seconds, rollBack: kme }, closed),
])
export type Fault = Static<typeof fault>

const scenario = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100 }),
  about: Type.Optional(Type.String({ maxLength: 2_000 })),
  /** processes: real KMEs on this machine; simulated: whole nodes in one process, in simulated time. */
  mode: Type.Union([Type.Literal('processes'), Type.Literal('simulated')]),
  seconds: Type.Number({ minimum: 1, maximum: 86_400 }),
  links: Type.Array(Type.Object({ between: pair, rate: Type.Optional(rate), qber: Type.Optional(Type.Number({ minimum: 0, maximum: 0.11 })) }, closed), { minItems: 1, maxItems: 2_000 }),
  /** Pools over other KMEs: all pairs without a link, or these. */
  relayed: Type.Union([Type.Literal('all'), Type.Array(Type.Object({ between: pair, paths: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })), hybrid: Type.Optional(Type.Boolean()), stockBytes: Type.Optional(Type.Integer({ minimum: 65_536 })) }, closed), { maxItems: 2_000 })]),
  /** Pools come by themselves at every KME: with all others ahead of demand, or when a request wants one. */
  automatic: Type.Optional(Type.Object({
    open: Type.Union([Type.Literal('onDemand'), Type.Literal('all')]), paths: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })), hybrid: Type.Optional(Type.Boolean()),
    stockBytes: Type.Optional(Type.Integer({ minimum: 65_536 })), idleMs: Type.Optional(Type.Integer({ minimum: 10_000 })),
  }, closed)),
  /** Each KME has one SAE. Requests go between the SAEs of these pairs, in both directions; all pairs that share a pool when left out. */
  load: Type.Object({ perSecond: Type.Number({ minimum: 0, maximum: 1_000 }), keys: Type.Integer({ minimum: 1, maximum: 128 }), between: Type.Optional(Type.Array(pair, { minItems: 1, maxItems: 2_000 })) }, closed),
  faults: Type.Optional(Type.Array(fault, { maxItems: 1_000 })),
  seed: Type.Optional(Type.Integer({ minimum: 0 })),
}, closed)
type Written = Static<typeof scenario>

export interface RelayedPair { readonly between: readonly [string, string], readonly paths: number, readonly hybrid: boolean, readonly stockBytes: number }
export interface Scenario {
  readonly name: string, readonly about: string, readonly mode: 'processes' | 'simulated', readonly seconds: number, readonly seed: number
  readonly kmes: readonly string[]
  readonly links: readonly { readonly between: readonly [string, string], readonly rateBps: number, readonly qber: number }[]
  readonly relayed: readonly RelayedPair[]
  readonly automatic: Written['automatic']
  readonly load: { readonly perSecond: number, readonly keys: number, readonly between: readonly (readonly [string, string])[] }
  readonly faults: readonly Fault[]
}

const STOCK_BYTES = 1_048_576
const UNITS: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 }
export const bitsPerS = (text: string): number => {
  const unit = UNITS[text.at(-1)!]
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit
}
const key = ([a, b]: readonly [string, string]): string => a < b ? `${a} ${b}` : `${b} ${a}`
const wrong = (file: string, what: string): never => { throw new KmeError('CONFIG_INVALID', `${file}: ${what}\nThe form of a scenario is in docs/simulation.md, "Networks"`) }

/** Reads a scenario. @throws KmeError `CONFIG_INVALID` saying what is wrong and where. */
export const readScenario = (file: string): Scenario => {
  let value: unknown
  try { value = parse(readFileSync(file, 'utf8')) } catch (error) { return wrong(file, error instanceof Error ? error.message : String(error)) }
  const fault = Value.Errors(scenario, value).First()
  if (fault !== undefined) return wrong(file, `${fault.path === '' ? '/' : fault.path}: ${fault.message}`)
  return complete(file, value as Written)
}

const complete = (file: string, written: Written): Scenario => {
  const kmes = [...new Set(written.links.flatMap((l) => l.between))].sort()
  const known = (names: readonly string[]): void => { for (const name of names) if (!kmes.includes(name)) wrong(file, `${name} is at no link`) }
  const linked = new Set<string>()
  for (const { between } of written.links) {
    if (between[0] === between[1] || linked.has(key(between))) wrong(file, `the link ${between.join(' - ')} stands there twice, or joins a KME with itself`)
    linked.add(key(between))
  }
  const all = kmes.flatMap((a, i) => kmes.slice(i + 1).map((b) => [a, b] as const))
  const relayed = written.relayed === 'all'
    ? all.filter((p) => !linked.has(key(p))).map((between) => ({ between, paths: 1, hybrid: false, stockBytes: STOCK_BYTES }))
    : written.relayed.map(({ between, paths = 1, hybrid = false, stockBytes = STOCK_BYTES }) => ({ between, paths, hybrid, stockBytes }))
  const pooled = new Set([...linked, ...relayed.map((r) => key(r.between))])
  const mayAll = written.automatic !== undefined
  const between = written.load.between ?? all.filter((p) => mayAll || pooled.has(key(p)))
  known([...relayed.flatMap((r) => r.between), ...between.flat()])
  for (const p of between) if (!mayAll && !pooled.has(key(p))) wrong(file, `load between ${p.join(' and ')}, which share no pool`)
  const faults = [...written.faults ?? []].sort((a, b) => a.at - b.at)
  for (const f of faults) {
    const on = Object.values(f).find((v) => Array.isArray(v)) as [string, string] | undefined
    if (on !== undefined && !linked.has(key(on))) wrong(file, `a fault of the link ${on.join(' - ')}, which is none`)
    known(Object.entries(f).flatMap(([name, v]) => typeof v === 'string' && name !== 'rate' ? [v] : []))
  }
  return {
    name: written.name, about: written.about ?? '', mode: written.mode, seconds: written.seconds, seed: written.seed ?? 1, kmes, relayed, automatic: written.automatic, faults,
    links: written.links.map((l) => ({ between: l.between, rateBps: bitsPerS(l.rate ?? '1M'), qber: l.qber ?? 0.02 })),
    load: { perSecond: written.load.perSecond, keys: written.load.keys, between },
  }
}
