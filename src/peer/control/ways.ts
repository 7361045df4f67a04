import type { KmeId } from '../../kernel/ids.js'
import type { Clock } from '../../kernel/time.js'
import type { Path, PathSource } from './ports.js'

/** A path on which a session failed is the last choice for this long. */
const FAILED_MS = 10_000
const FAILED_MAX = 1_024

const nameOf = (path: Path): string => path.join(' ')

/** Chooses among the router's paths: the best on which nothing failed lately, else the one whose failure is the oldest. */
export class Ways {
  readonly #failedMs = new Map<string, number>()

  constructor (private readonly source: PathSource, private readonly clock: Clock) {}

  choose (destination: KmeId): Path | undefined {
    const paths = this.source.paths(destination)
    return paths.find((path) => !this.#isFailed(path)) ??
      paths.reduce<Path | undefined>((best, path) => best === undefined || this.#failedAt(path) < this.#failedAt(best) ? path : best, undefined)
  }

  /** Whether there is a path on which nothing failed lately. */
  hasFresh (destination: KmeId): boolean { return this.source.paths(destination).some((path) => !this.#isFailed(path)) }

  /** Whether the router believes in every link of a path. */
  isUsable (path: Path): boolean {
    const { source } = this
    return source.isUsable?.(path) ?? source.paths(path.at(-1) as KmeId).some((known) => nameOf(known) === nameOf(path))
  }

  failed (path: Path): void {
    const name = nameOf(path)
    this.#failedMs.delete(name)
    if (this.#failedMs.size >= FAILED_MAX) this.#failedMs.delete(this.#failedMs.keys().next().value as string)
    this.#failedMs.set(name, this.clock.monoMs())
  }

  #failedAt (path: Path): number { return this.#failedMs.get(nameOf(path)) ?? -Infinity }
  #isFailed (path: Path): boolean { return this.clock.monoMs() - this.#failedAt(path) < FAILED_MS }
}
