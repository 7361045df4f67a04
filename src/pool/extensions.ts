import { Type, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { invariant } from '../kernel/errors.js'
import type { ExtensionPair } from './service.js'

/** What extensions may demand of the bits of an answer; a member that is absent demands nothing. */
export interface KeyConstraint {
  /** How long ago, at most, the two KMEs confirmed the bits. */
  readonly maxAgeMs?: number
  /** 'direct': from a QKD link between the two KMEs; 'relayed': over other KMEs. */
  readonly route?: 'direct' | 'relayed'
  /** Bits that no single other KME had: each block came over at least so many node-disjoint paths, or straight from a link. */
  readonly minPaths?: number
  /** An ML-KEM-768 stream between the two KMEs lies over relayed bits. */
  readonly hybrid?: true
}

/** One vendor extension of "Get key" (ETSI GS QKD 014 V1.1.1, clause 6.2). */
export interface Extension {
  /** With the vendor prefix, which ends in an underscore. */
  readonly name: string
  /** For the documentation: one sentence on its effect. */
  readonly summary: string
  /** Form of its value. A value that does not fit never reaches `constraint`. */
  readonly schema: TSchema
  readonly example: unknown
  constraint (value: unknown): KeyConstraint
}

const maxAge: Extension = {
  name: 'qkme_max_age_ms',
  summary: 'Only bits that the two KMEs confirmed at most this long ago, in milliseconds.',
  schema: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  example: 30_000,
  constraint: (value) => ({ maxAgeMs: value as number }),
}

const route: Extension = {
  name: 'qkme_route',
  summary: 'Only bits that came straight from a QKD link between the two KMEs, or only bits relayed by other KMEs.',
  schema: Type.Union([Type.Literal('direct'), Type.Literal('relayed')]),
  example: 'direct',
  constraint: (value) => ({ route: value as 'direct' | 'relayed' }),
}

const minPaths: Extension = {
  name: 'qkme_min_disjoint_paths',
  summary: 'Only bits that came over at least so many node-disjoint paths at once, so that no single KME between knows them; bits of a direct link always do.',
  schema: Type.Integer({ minimum: 1, maximum: 8 }),
  example: 2,
  constraint: (value) => ({ minPaths: value as number }),
}

const hybrid: Extension = {
  name: 'qkme_hybrid',
  summary: 'Only relayed bits with an ML-KEM-768 stream between the two KMEs over them; false demands nothing.',
  schema: Type.Boolean(),
  example: true,
  constraint: (value) => value === true ? { hybrid: true } : {},
}

/** The extensions this KME knows, by name. */
export class ExtensionRegistry {
  readonly #byName = new Map<string, Extension>()

  constructor (extensions: readonly Extension[] = shippedExtensions) {
    for (const extension of extensions) {
      invariant(/^[A-Za-z0-9]+_[A-Za-z0-9_]+$/.test(extension.name), `extension name ${extension.name} begins with a vendor prefix`)
      invariant(!this.#byName.has(extension.name), `extension ${extension.name} is declared once`)
      invariant(Value.Check(extension.schema, extension.example), `the example of ${extension.name} fits its schema`)
      this.#byName.set(extension.name, extension)
    }
  }

  get (name: string): Extension | undefined { return this.#byName.get(name) }

  all (): readonly Extension[] { return [...this.#byName.values()] }
  names (): readonly string[] { return [...this.#byName.keys()] }

  /** Tells whether `value` has the form that the extension declares. */
  fits (extension: Extension, value: unknown): boolean { return Value.Check(extension.schema, value) }

  /**
   * What `pairs` demand together. Pairs of unknown name are skipped: the REST side refuses mandatory ones and drops
   * optional ones before.
   *
   * @returns undefined if two mandatory pairs contradict each other, so that nothing can meet them. An optional pair
   *   never overrides another demand.
   */
  constraint (pairs: readonly ExtensionPair[]): KeyConstraint | undefined {
    let demand: KeyConstraint = {}
    for (const mandatory of [true, false]) {
      for (const pair of pairs) {
        const extension = pair.mandatory === mandatory ? this.get(pair.name) : undefined
        if (extension === undefined) continue
        const both = meet(demand, extension.constraint(pair.value))
        if (both !== undefined) demand = both
        else if (mandatory) return undefined
      }
    }
    return demand
  }
}

/** The demand that satisfies both; undefined if none does. */
const meet = (a: KeyConstraint, b: KeyConstraint): KeyConstraint | undefined => {
  if (a.route !== undefined && b.route !== undefined && a.route !== b.route) return undefined
  const maxAgeMs = Math.min(a.maxAgeMs ?? Infinity, b.maxAgeMs ?? Infinity)
  const chosen = a.route ?? b.route
  const minPaths = Math.max(a.minPaths ?? 0, b.minPaths ?? 0)
  return {
    ...(maxAgeMs === Infinity ? {} : { maxAgeMs }), ...(chosen === undefined ? {} : { route: chosen }),
    ...(minPaths === 0 ? {} : { minPaths }), ...(a.hybrid === true || b.hybrid === true ? { hybrid: true } : {}),
  }
}

/** The extensions that qkme ships. */
export const shippedExtensions: readonly Extension[] = [maxAge, route, minPaths, hybrid]
