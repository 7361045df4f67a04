import type { SaeId } from '../kernel/ids.js'
import { pathSaeId } from './query.js'

/** SAEs that paths have named, remembered; when there are more, all are forgotten. */
const SIZE = 8_192

/**
 * SAE IDs of paths, decoded and checked at their first time. The library makes a new string of each path, whose hash must be reckoned
 * for each look-up; what is handed out here is one and the same string for one and the same segment.
 */
export class PathIds {
  readonly #known = new Map<string, SaeId>()

  /** As `pathSaeId`. @throws RequestError `BAD_REQUEST`. */
  read (segment: string, name: string): SaeId {
    const known = this.#known.get(segment)
    if (known !== undefined) return known
    const id = pathSaeId(segment, name)
    if (this.#known.size >= SIZE) this.#known.clear()
    this.#known.set(segment, id)
    return id
  }

  get entries (): number { return this.#known.size }
}
