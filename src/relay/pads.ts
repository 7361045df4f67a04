import { PAD_TAKEN, takenBlock } from '../device/native.js'
import { PART_FRAMES_MAX, SHARE_FRAMES_MAX } from '../peer/messages.js'
import { append, CUTS_MAX, cutsOver, PADS_MAX, segmentsOver, withCuts } from '../pool/pad-places.js'
import type { PadPlace, RelayAccess } from '../pool/relay-access.js'
import type { DeskPorts, RelayPorts, RelayedPool } from './ports.js'
import { bytesIn, FRAME_BYTES_MAX, FrameSealer, isOneShare, PART_BYTES_MIN, partOf, partsIn, type Share } from './share.js'

const taken = new Uint32Array(PAD_TAKEN)

/**
 * The first hop: takes `bytes` (at most SHARE_FRAMES_MAX frames of them) out of our lane with the first node of the path. They are leased: the
 * caller has seen to it. These bits are the share; their places are what the next node needs.
 */
export const takeShare = (p: DeskPorts, lane: RelayAccess, pool: RelayedPool, job: Uint8Array, path: readonly string[], bytes: number): { share: Share, pads: PadPlace[] } => {
  const frames: number[] = [], records: Uint8Array[] = [], pads: PadPlace[] = []
  const sealing = new FrameSealer(p, pool, job, SHARE_FRAMES_MAX)
  let left = bytes & ~7
  while (left > 0 && frames.length < SHARE_FRAMES_MAX) {
    const isNextPart = frames.length % PART_FRAMES_MAX === 0 && frames.length > 0
    if (isNextPart && Math.min(left, lane.leasedBytes) < PART_BYTES_MIN) break
    const length = Math.min(FRAME_BYTES_MAX, left, lane.runBytes)
    if (length === 0) break
    records.push(sealing.seal(length, (sealer, header, out) => {
      let record = 0
      lane.take(length, (handle) => { record = p.vault.laneSeal(handle, sealer as never, header, length, out, taken) })
      return record
    }))
    frames.push(length)
    append(pads, takenBlock(taken), taken[2]!, length)
    left -= length
  }
  lane.settle()
  return { share: { frames, records, memory: sealing.records, path }, pads }
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
        append(ours, takenBlock(taken), taken[2]!, length)
        done += length
        at += length
      }
    })
    if (!good) break
  }
  next.settle()
  return at === data.length && ours.length <= PADS_MAX ? ours : undefined
}

/** The last hop: removes the pads of the last node's lane and seals the share. Undefined when one of our records does not open, or the pads are crumbs. */
export const removePads = (p: DeskPorts, from: RelayAccess, pads: readonly PadPlace[], pool: RelayedPool, job: Uint8Array, path: readonly string[], frames: readonly number[], data: Uint8Array): Share | undefined => {
  const records: Uint8Array[] = [], sealing = new FrameSealer(p, pool, job, frames.length)
  let at = 0
  /** Frames under pads that are opened together. */
  const remove = (lengths: readonly number[]): boolean => {
    const isDone = withCuts(from, cutsOver(pads, at, bytesIn(lengths)), (segments) => {
      const begin = at
      for (const length of lengths) {
        const under = segmentsOver(segments, at - begin, length)
        records.push(sealing.seal(length, (sealer, header, out) => p.vault.sealPads(sealer as never, header, under, data.subarray(at, at + length), out, isOneShare(pool))))
        at += length
      }
      return true
    })
    return isDone === true
  }
  for (let part = 0; part < partsIn(frames); part++) {
    const lengths = partOf(frames, part), isWhole = cutsOver(pads, at, bytesIn(lengths)).length <= CUTS_MAX // Else they are crumbs.
    if (!(isWhole ? remove(lengths) : lengths.every((length) => remove([length])))) return undefined
  }
  return { frames, records, memory: sealing.records, path }
}
