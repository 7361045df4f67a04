import { parseFrame } from '../../src/peer/frame.js'
import { usableBytes } from '../../src/pool/rows.js'
import type { SimNode } from './node.js'

/** Free text for each violation found. */
export type Fault = (what: string) => void

/** Pads on the wire (I1): no place of an authentication lane masks two tags. */
export class PadWatch {
  private readonly seen = new Set<string>()
  constructor (private readonly fault: Fault) {}

  clear (): void { this.seen.clear() }

  /** @param version Of the frame format. */
  frame (from: string, bytes: Uint8Array, version: number): void {
    const { header } = parseFrame(bytes, version)
    if (!header.tagged) return
    const place = `${from} block ${header.pad.block} offset ${header.pad.offset}`
    if (this.seen.has(place)) this.fault(`pad used twice: ${place}`)
    this.seen.add(place)
  }
}

/** What must hold between two running nodes at every moment, while no store is a copy. */
export const checkMoment = (nodes: readonly [SimNode, SimNode], fault: Fault): void => {
  const [a, b] = nodes
  if (a.process === undefined || b.process === undefined) return
  for (const [owner, looker] of [[a, b], [b, a]] as const) {
    for (const block of owner.pool.core.blocks.values()) {
      if (block.purpose !== 'app' || block.owner !== 'mine') continue
      const other = looker.pool.core.blocks.get(block.number)
      if (other === undefined) continue
      if (other.owner === 'mine') fault(`block ${block.number} is owned by both`)
      // Design 3.5: the owner spends only what the looker has stored.
      else if (block.spent > 0 && other.state !== 'open' && other.state !== 'closed') fault(`${owner.o.id} spends block ${block.number} above the horizon (there it is ${other.state})`)
    }
  }
}

/** After calm: the same blocks with the same owners on both sides (I10). */
export const checkAgreement = (nodes: readonly [SimNode, SimNode], fault: Fault): void => {
  const view = (node: SimNode): Set<string> => new Set([...node.pool.core.blocks.values()]
    .filter((x) => x.purpose === 'app' && (x.state === 'usable' || x.state === 'open'))
    .map((x) => `${x.number} of ${x.owner === 'mine' ? node.o.id : node.o.peer} with ${x.bytes} bytes in epoch ${x.epoch}`))
  const [va, vb] = [view(nodes[0]), view(nodes[1])]
  for (const x of va) if (!vb.has(x)) fault(`after calm only ${nodes[0].o.id} has block ${x}`)
  for (const x of vb) if (!va.has(x)) fault(`after calm only ${nodes[1].o.id} has block ${x}`)
}

/** Every byte taken from a device is in exactly one account (I10). */
export const checkBalance = (node: SimNode, fault: Fault): void => {
  const { core, pending, lane, claims } = node.pool
  core.commit(() => { lane.bookCuts() })
  const { account } = core
  let stock = pending.bytes
  for (const x of core.blocks.values()) {
    const confirmed = x.state === 'usable' || x.state === 'open' || x.state === 'closed'
    if (!confirmed) stock += x.bytes
    else if (x.owner === 'mine') stock += x.state === 'closed' ? 0 : usableBytes(x) - x.spent
    else stock += usableBytes(x) - (x.purpose === 'app' ? claims.claimedBytes(x.number) : 0)
  }
  checkTally(node, fault)
  const burned = Object.values(account.burned).reduce((x, y) => x + y, 0)
  const sum = stock + account.leased + account.delivered + account.relay + account.authentication + account.confirmation + account.idKeys + burned
  if (sum !== account.ingested) fault(`accounts of ${node.o.id}: ${account.ingested} ingested, ${sum} accounted (${sum - account.ingested}): ${JSON.stringify(account)}`)
}

/** The sums that are kept say what a walk over the blocks says. */
const checkTally = (node: SimNode, fault: Fault): void => {
  const { core } = node.pool
  const walked = { stockBytes: 0, mine: 0, theirs: 0 }
  for (const x of core.blocks.values()) {
    if (x.state !== 'closed') walked.stockBytes += usableBytes(x) - (x.owner === 'mine' ? x.spent : 0)
    if (x.purpose === 'app' && x.index === 0) walked[x.owner]++
  }
  const kept = { stockBytes: core.tally.stockBytes, ...core.tally.unopened }
  if (JSON.stringify(kept) !== JSON.stringify(walked)) fault(`sums of ${node.o.id}: ${JSON.stringify(kept)} kept, ${JSON.stringify(walked)} walked`)
}
