import { writeFileSync } from 'node:fs'
import { SingleBar, Presets } from 'cli-progress'
import { KmeError } from '../../../src/kernel/errors.js'

/** Where a command's lines go. */
export type Say = (line: string) => void
/** Standard output. */
export const print: Say = (line) => { process.stdout.write(line + '\n') }

/** Numbers as a physicist reads them: `digits` significant ones, with an exponent when very large or small. */
export const figure = (x: number, digits = 4): string => {
  if (x === 0) return '0'
  if (!Number.isFinite(x)) return '-'
  const size = Math.abs(x)
  return size >= 1e6 || size < 1e-3 ? x.toExponential(digits - 1) : Number(x.toPrecision(digits)).toString()
}

/** A plain table: header, rule, right-aligned columns except the first. */
export const table = (header: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = header.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]!.length)))
  const line = (cells: readonly string[]): string => cells.map((c, i) => i === 0 ? c.padEnd(widths[i]!) : c.padStart(widths[i]!)).join('  ').trimEnd()
  return [line(header), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n')
}

/** Writes a file the user asked for. @throws KmeError `BAD_REQUEST` naming the path if it cannot be written. */
export const save = (path: string, text: string): void => {
  try {
    writeFileSync(path, text)
  } catch (cause) {
    throw new KmeError('BAD_REQUEST', `cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  process.stderr.write(`wrote ${path}\n`)
}

/** A progress bar on standard error, silent unless that is a terminal. */
export const progress = (total: number, what: string): { step: () => void, done: () => void } => {
  const bar = new SingleBar({ format: `${what} [{bar}] {percentage} %`, stream: process.stderr, clearOnComplete: true, noTTYOutput: false }, Presets.shades_classic)
  if (process.stderr.isTTY) bar.start(total, 0)
  return { step: () => { bar.increment() }, done: () => { bar.stop() } }
}
