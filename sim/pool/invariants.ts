import type { KmeId } from '../../src/kernel/ids.js'
import { parseFrame, type ParsedFrame } from '../../src/peer/frame.js'
import type { Pool } from '../../src/pool/pool.js'
import { usableBytes } from '../../src/pool/rows.js'

/** Free text for each violation found. */
export type Fault = (what: string) => void

/** One KME's half of a pool; undefined while its process is down. */
export interface PoolEnd { readonly id: KmeId, readonly pool: Pool | undefined }

/** Pads on the wire (I1): no place of an authentication lane masks two tags. */
export class PadWatch {
  private readonly seen = new Set<string>()
  constructor (private readonly fault: Fault) {}

  clear (): void { this.seen.clear() }

  /** Numbers of one KME's blocks may come again, for other bytes: its store is another one. */
  forget (kme: KmeId): void { for (const place of this.seen) if (place.split(' ', 2).includes(kme)) this.seen.delete(place) }

  /** @param version Of the frame format. @returns the frame, taken apart. */
  frame (from: KmeId, to: KmeId, bytes: Uint8Array, version: number): ParsedFrame {
    const frame = parseFrame(bytes, version), { tagged, pad } = frame.header
    if (!tagged) return frame
    const place = `${from} ${to} block ${pad.block} offset ${pad.offset}`
    if (this.seen.has(place)) this.fault(`pad used twice: ${place}`)
    this.seen.add(place)
    return frame
  }
}

/** What must hold between the two ends of a pool at every moment, while no store is a copy. */
export const checkMoment = ([a, b]: readonly [PoolEnd, PoolEnd], fault: Fault): void => {
  if (a.pool === undefined || b.pool === undefined) return
  for (const [owner, looker] of [[a, b], [b, a]] as const) {
    for (const block of owner.pool!.core.blocks.values()) {
      if (block.purpose !== 'app' || block.owner !== 'mine') continue
      const other = looker.pool!.core.blocks.get(block.number)
      if (other === undefined) continue
      if (other.owner === 'mine') fault(`block ${block.number} of ${a.id} and ${b.id} is owned by both`)
      // Design 3.5: the owner spends only what the looker has stored.
      else if (block.spent > 0 && other.state !== 'open' && other.state !== 'closed') fault(`${owner.id} spends block ${block.number} with ${looker.id} above the horizon (there it is ${other.state})`)
    }
  }
}

/** After calm: the same blocks with the same owners on both sides (I10). */
export const checkAgreement = ([a, b]: readonly [PoolEnd, PoolEnd], fault: Fault): void => {
  const view = (end: PoolEnd, peer: KmeId): Set<string> => new Set([...end.pool!.core.blocks.values()]
    .filter((x) => x.purpose === 'app' && (x.state === 'usable' || x.state === 'open'))
    .map((x) => `${x.number} of ${x.owner === 'mine' ? end.id : peer} with ${x.bytes} bytes in epoch ${x.epoch}`))
  const va = view(a, b.id), vb = view(b, a.id)
  for (const x of va) if (!vb.has(x)) fault(`after calm only ${a.id} has block ${x} (pool with ${b.id})`)
  for (const x of vb) if (!va.has(x)) fault(`after calm only ${b.id} has block ${x} (pool with ${a.id})`)
}

/** Every byte taken from a device is in exactly one account (I10). */
export const checkBalance = (id: KmeId, { core, pending, lane, claims }: Pool, fault: Fault): void => {
  core.commit(() => { lane.bookCuts() })
  const { account } = core
  let stock = pending.bytes
  for (const x of core.blocks.values()) {
    const confirmed = x.state === 'usable' || x.state === 'open' || x.state === 'closed'
    if (!confirmed) stock += x.bytes
    else if (x.owner === 'mine') stock += x.state === 'closed' ? 0 : usableBytes(x) - x.spent
    else stock += usableBytes(x) - (x.purpose === 'app' ? claims.claimedBytes(x.number) : 0)
  }
  const name = `${id} with ${core.deps.remote}`
  checkTally(name, core, fault)
  const burned = Object.values(account.burned).reduce((x, y) => x + y, 0)
  const sum = stock + account.leased + account.delivered + account.relay + account.authentication + account.confirmation + account.idKeys + burned
  if (sum !== account.ingested) fault(`accounts of ${name} (${core.pool}): ${account.ingested} ingested, ${sum} accounted (${sum - account.ingested}): ${JSON.stringify(account)}`)
}

/** The sums that are kept say what a walk over the blocks says. */
const checkTally = (name: string, core: Pool['core'], fault: Fault): void => {
  const walked = { stockBytes: 0, mine: 0, theirs: 0, live: { mine: 0, theirs: 0 } }
  for (const x of core.blocks.values()) {
    if (x.state !== 'closed') walked.stockBytes += usableBytes(x) - (x.owner === 'mine' ? x.spent : 0)
    if (x.purpose === 'app' && x.index === 0) walked[x.owner]++
    if (x.purpose === 'app' && x.state !== 'closed') walked.live[x.owner]++
  }
  const kept = { stockBytes: core.tally.stockBytes, ...core.tally.unopened, live: { ...core.tally.live } }
  if (JSON.stringify(kept) !== JSON.stringify(walked)) fault(`sums of ${name}: ${JSON.stringify(kept)} kept, ${JSON.stringify(walked)} walked`)
}
