import type { SaeId } from '../kernel/ids.js'
import { pathSaeId } from './query.js'

/** SAEs that paths have named, remembered; when there are more, all are forgotten. */
const SIZE = 8_192
/** Segments that are compared before a look-up, by length and last letter. */
const RECENT = 256

/**
 * SAE IDs of paths, decoded and checked at their first time. The library makes a new string of each path, whose hash must be reckoned
 * for each look-up; what is handed out here is one and the same string for one and the same segment.
 */
export class PathIds {
  readonly #known = new Map<string, SaeId>()
  readonly #recent: ({ readonly segment: string, readonly id: SaeId } | undefined)[] = new Array<undefined>(RECENT).fill(undefined)

  /** As `pathSaeId`. @throws RequestError `BAD_REQUEST`. */
  read (segment: string, name: string): SaeId {
    const place = segment.length * 37 + segment.charCodeAt(segment.length - 1) & RECENT - 1, recent = this.#recent[place]
    if (recent !== undefined && recent.segment === segment) return recent.id
    const id = this.#known.get(segment) ?? this.#keep(segment, pathSaeId(segment, name))
    this.#recent[place] = { segment, id }
    return id
  }

  #keep (segment: string, id: SaeId): SaeId {
    if (this.#known.size >= SIZE) this.#known.clear()
    this.#known.set(segment, id)
    return id
  }

  get entries (): number { return this.#known.size }
}
