import type { Body, MessageName } from '../../../src/peer/messages.js'
import { sumOf } from '../../../src/pool/pad-places.js'
import type { KmeId } from '../../../src/kernel/ids.js'
import type { SimRandom } from '../../random.js'

/** What a node does that has gone over to an enemy: to the bits that it passes, to their names, to the words of others. */
export const LIES = ['bits', 'frames', 'pads', 'path', 'again', 'blame', 'swallow', 'tunnel', 'detour', 'cry', 'twice'] as const
export type Lie = typeof LIES[number]

/** From somewhere on every 16th byte of a job is changed: most keys of it. */
const CHANGED_EACH = 16

/** @returns what goes out in place of a message: the same, another, or nothing. */
export type Tamper = (name: MessageName, body: unknown) => unknown

/** A node that lies in these ways, now and then. @param cry Says back to a neighbour that a job failed. */
export const liar = (random: SimRandom, lies: readonly Lie[], cry: (to: KmeId, body: Body<'relayFailed'>) => void): Tamper => {
  let earlier: Body<'relay'> | undefined
  const isNow = (lie: Lie): boolean => lies.includes(lie) && random.chance(0.5)
  return (name, body) => {
    if (name === 'tunnel' && isNow('tunnel')) return tunnel(random, body as Body<'tunnel'>)
    if (name === 'relayFailed' && isNow('blame')) return { ...body as Body<'relayFailed'>, at: random.pick((body as Body<'relayFailed'>).path) }
    if (!['relay', 'relayAsk', 'relayReady'].includes(name)) return body
    if (isNow('swallow')) return undefined
    if (name !== 'relay') return isNow('path') ? { ...body as Body<'relayAsk'>, path: [...(body as Body<'relayAsk'>).path].reverse() } : body
    const job = body as Body<'relay'>
    if (earlier !== undefined && isNow('again')) return earlier
    const before = earlier
    earlier = job
    const { path, hop } = job
    if (hop > 1 && isNow('cry')) cry(path[hop - 2]!, { job: job.job, path, hop: hop - 2, share: job.share, at: path[hop - 1]!, cause: 'stock' }) // And passes it on.
    if (before !== undefined && sumOf(before.pads) === sumOf(job.pads) && isNow('twice')) return { ...job, pads: before.pads }
    return relay(random, job, isNow)
  }
}

const relay = (random: SimRandom, job: Body<'relay'>, isNow: (lie: Lie) => boolean): Body<'relay'> => {
  if (job.data.length > 0 && isNow('bits')) {
    const data = Uint8Array.from(job.data)
    const first = random.integer(data.length), bit = 1 << random.integer(8)
    for (let at = first; at < data.length; at += CHANGED_EACH) data[at]! ^= bit // One bit of a whole job would be in no key that is given here.
    return { ...job, data }
  }
  if (job.frames.length > 1 && isNow('frames')) return { ...job, frames: [...job.frames].reverse() }
  if (isNow('pads')) return { ...job, pads: job.pads.map((pad, i) => i === 0 ? { ...pad, offset: pad.offset + 8 } : pad) }
  if (isNow('path')) return { ...job, path: [...job.path].reverse() }
  if (isNow('detour')) return { ...job, path: [job.path[0]!, 'Z', ...job.path.slice(1)], hop: job.hop + 1 } // The rest is true: only who planned it can know.
  return job
}

const tunnel = (random: SimRandom, piece: Body<'tunnel'>): Body<'tunnel'> | undefined => {
  if (piece.bytes.length === 0 || random.chance(0.3)) return undefined
  const bytes = Uint8Array.from(piece.bytes)
  bytes[random.integer(bytes.length)]! ^= 1 << random.integer(8)
  return { ...piece, bytes }
}
