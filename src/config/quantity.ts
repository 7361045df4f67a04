import type { Unit } from './setting.js'

const times = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 }
const sizes = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824, TiB: 1_099_511_627_776 }

/** What may follow a number, and what it multiplies by, for each unit of a setting. */
const suffixes: Partial<Record<Unit, Readonly<Record<string, number>>>> = { ms: times, s: { s: 1, min: 60, h: 3_600, d: 86_400 }, days: { d: 1 }, bytes: sizes }

/** The suffixes that a setting in `unit` accepts, for messages and the reference. */
export const suffixesOf = (unit: Unit): readonly string[] => Object.keys(suffixes[unit] ?? {})

/**
 * Reads a number that may carry a unit: `30s`, `1.5 h`, `64KiB`, `8443`.
 *
 * @returns the number in `unit`, or undefined if the text is no such number. Bounds are checked by the caller.
 */
export const parseQuantity = (text: string, unit: Unit): number | undefined => {
  const match = /^\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text)
  if (match === null) return undefined
  const [, digits, suffix] = match
  const known = suffixes[unit] ?? {}
  const factor = suffix === '' ? 1 : Object.hasOwn(known, suffix as string) ? known[suffix as string] : undefined
  return factor === undefined ? undefined : Number(digits) * factor
}
