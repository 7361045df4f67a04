import type { BlockHandle } from '../device/native.js'
import type { PadPlace, RelayAccess } from './relay-access.js'

/** Stretches in one message, at most. */
export const PADS_MAX = 64
/** Stretches over one sealed record, at most: what the vault takes in one step. */
export const CUTS_MAX = 8

export const sumOf = (pads: readonly PadPlace[]): number => pads.reduce((sum, pad) => sum + pad.length, 0)

/** Adds a stretch behind the others; one that goes on where the last ends is one with it. */
export const append = (pads: PadPlace[], block: number, offset: number, length: number): void => {
  const last = pads.at(-1)
  if (last !== undefined && last.block === block && last.offset + last.length === offset && last.length + length <= 65_536) pads[pads.length - 1] = { ...last, length: last.length + length }
  else pads.push({ block, offset, length })
}

/** The parts of pads, which lie one after the other, that cover bytes [from, from + length). */
export const cutsOver = (pads: readonly PadPlace[], from: number, length: number): PadPlace[] => {
  const cuts: PadPlace[] = []
  let at = 0
  for (const pad of pads) {
    const begin = Math.max(from, at), end = Math.min(from + length, at + pad.length)
    if (begin < end) cuts.push({ block: pad.block, offset: pad.offset + begin - at, length: end - begin })
    at += pad.length
  }
  return cuts
}

/** The parts of segments, as `withCuts` gives them, that cover bytes [from, from + length) of what they lie over. */
export const segmentsOver = (segments: Uint32Array, from: number, length: number): Uint32Array => {
  const out: number[] = []
  for (let i = 0, at = 0; i < segments.length; i += 3) {
    const [block, offset, bytes] = [segments[i]!, segments[i + 1]!, segments[i + 2]!]
    const begin = Math.max(from, at), end = Math.min(from + length, at + bytes)
    if (begin < end) out.push(block, offset + begin - at, end - begin)
    at += bytes
  }
  return Uint32Array.from(out)
}

/**
 * Opens each cut in turn; `use` runs when all are open, or it does not run: with few cells left, the last may throw out the first. It gets
 * [block, offset, length] of each, as `sealPads` of the vault takes them. Undefined if a record does not open, or it is too many of them.
 */
export const withCuts = <T>(from: RelayAccess, cuts: readonly PadPlace[], use: (segments: Uint32Array) => T): T | undefined => {
  const segments: number[] = []
  const open = (index: number): T | undefined => {
    const place = cuts[index]
    if (place === undefined) return cuts.every((cut) => from.isOpen(cut)) ? use(Uint32Array.from(segments)) : undefined
    let result: T | undefined
    from.reach(place, (block: BlockHandle) => {
      segments.push(block, place.offset, place.length)
      result = open(index + 1)
    })
    return result
  }
  return cuts.length > CUTS_MAX ? undefined : open(0)
}
