import type { PadPlace, RelayAccess } from '../pool/relay-access.js'
import type { RelayPorts, RelayedPool } from './ports.js'
import { FRAME_BYTES_MAX, sealFrame, type Share } from './share.js'

const FRAMES_MAX = 16
export const PADS_MAX = 64
/** Stretches over one frame, at most: what the vault takes in one step. */
const CUTS_MAX = 8

const taken = new Uint32Array(2)

export const sumOf = (pads: readonly PadPlace[]): number => pads.reduce((sum, pad) => sum + pad.length, 0)

/** Adds a stretch behind the others; one that goes on where the last ends is one with it. */
const append = (pads: PadPlace[], block: number, offset: number, length: number): void => {
  const last = pads.at(-1)
  if (last !== undefined && last.block === block && last.offset + last.length === offset && last.length + length <= 65_536) pads[pads.length - 1] = { ...last, length: last.length + length }
  else pads.push({ block, offset, length })
}

/**
 * The first hop: takes `bytes` (at most 16 frames of them) out of our lane with the first node of the path. They are leased: the
 * caller has seen to it. These bits are the share; their places are what the next node needs.
 */
export const takeShare = (p: RelayPorts, lane: RelayAccess, pool: RelayedPool, job: Uint8Array, path: readonly string[], bytes: number): { share: Share, pads: PadPlace[] } => {
  const frames: number[] = [], records: Uint8Array[] = [], pads: PadPlace[] = []
  let left = bytes & ~7
  while (left > 0 && frames.length < FRAMES_MAX && lane.runBytes > 0) {
    const length = Math.min(FRAME_BYTES_MAX, left, lane.runBytes)
    records.push(sealFrame(p, pool, job, frames.length, length, (sealer, header, out) => {
      let record = 0
      lane.take(length, (handle) => { record = p.vault.laneSeal(handle, sealer as never, header, length, out, taken) })
      return record
    }))
    frames.push(length)
    append(pads, taken[0]!, taken[1]!, length)
    left -= length
  }
  lane.settle()
  return { share: { frames, records, path }, pads }
}

/**
 * A hop between: `data` (changed in place) loses the pads of `from`'s lane and gets as many bytes of ours with the next node. They
 * are leased. @returns our pads, or undefined when a record of ours does not open or the places are too many: the bits are lost.
 */
export const changePads = (p: RelayPorts, from: RelayAccess, pads: readonly PadPlace[], next: RelayAccess, data: Uint8Array): PadPlace[] | undefined => {
  const ours: PadPlace[] = []
  let at = 0
  for (const pad of pads) {
    const good = from.reach(pad, (block) => {
      for (let done = 0; done < pad.length;) {
        const length = Math.min(pad.length - done, next.runBytes)
        if (length === 0) return
        next.take(length, (lane) => { p.vault.laneXor(lane, block, pad.offset + done, data.subarray(at, at + length), taken) })
        append(ours, taken[0]!, taken[1]!, length)
        done += length
        at += length
      }
    })
    if (!good) break
  }
  next.settle()
  return at === data.length && ours.length <= PADS_MAX ? ours : undefined
}

interface Cut { readonly pad: PadPlace, readonly from: number, readonly length: number }

/** Which parts of which pads lie over bytes [from, from + length). */
const over = (pads: readonly PadPlace[], from: number, length: number): Cut[] => {
  const cuts: Cut[] = []
  let at = 0
  for (const pad of pads) {
    const begin = Math.max(from, at), end = Math.min(from + length, at + pad.length)
    if (begin < end) cuts.push({ pad, from: begin - at, length: end - begin })
    at += pad.length
  }
  return cuts
}

/** The last hop: removes the pads of the last node's lane and seals the share. Undefined when one of our records does not open, or the pads are crumbs. */
export const removePads = (p: RelayPorts, from: RelayAccess, pads: readonly PadPlace[], pool: RelayedPool, job: Uint8Array, path: readonly string[], frames: readonly number[], data: Uint8Array): Share | undefined => {
  const records: Uint8Array[] = []
  let at = 0
  for (const [index, length] of frames.entries()) {
    const segments: number[] = [], cuts = over(pads, at, length)
    if (cuts.length > CUTS_MAX) return undefined
    const record = within(from, cuts, cuts, segments, () => sealFrame(p, pool, job, index, length,
      (sealer, header, out) => p.vault.sealPads(sealer as never, header, Uint32Array.from(segments), data.subarray(at, at + length), out)))
    if (record === undefined) return undefined
    records.push(record)
    at += length
  }
  return { frames, records, path }
}

const placeOf = ({ pad, from, length }: Cut): PadPlace => ({ block: pad.block, offset: pad.offset + from, length })

/** Opens each cut in turn; all are open when `use` runs, or it does not run: with few cells left, the last may throw out the first. */
const within = (from: RelayAccess, all: readonly Cut[], cuts: readonly Cut[], segments: number[], use: () => Uint8Array): Uint8Array | undefined => {
  const [first, ...rest] = cuts
  if (first === undefined) return all.every((cut) => from.isOpen(placeOf(cut))) ? use() : undefined
  let result: Uint8Array | undefined
  const place = placeOf(first)
  from.reach(place, (block) => {
    segments.push(block, place.offset, place.length)
    result = within(from, all, rest, segments, use)
  })
  return result
}
