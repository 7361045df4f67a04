import { kindOfCode, unpackBody } from '../../../src/peer/body.js'
import { FRAME_VERSION } from '../../../src/peer/frame.js'
import type { KmeId } from '../../../src/kernel/ids.js'
import type { Body } from '../../../src/peer/messages.js'
import { PadWatch } from '../../pool/invariants.js'
import type { Ledger } from '../../pool/ledger.js'
import type { MeshWorld } from '../world.js'

type Pads = Body<'relay'>['pads']

/**
 * Sees every frame between neighbours (I1): no place of a lane of authentication blocks masks two tags, and the bits of every pad of
 * the relay, which the model knows from the devices' frames, are used for nothing else.
 */
export class Wire {
  private readonly pads: PadWatch
  /** Relayed blocks seen, and pads among them whose block was gone already. */
  relayed = 0
  unknown = 0

  /** @param isTrusted Whether a KME says what it does: its store is its own, and it does not lie. */
  constructor (private readonly world: MeshWorld, private readonly ledger: Ledger, private readonly homeOf: (kme: KmeId) => number, private readonly isTrusted: (kme: KmeId) => boolean) {
    this.pads = new PadWatch((what) => { ledger.fault(what) })
    world.network.tap = (from, to, bytes) => { this.see(from, to, bytes); return [bytes] }
  }

  /** A store is replaced: its numbers may come again, for other bytes. */
  forget (kme: KmeId): void { this.pads.forget(kme) }

  private see (from: KmeId, to: KmeId, bytes: Uint8Array): void {
    if (!this.isTrusted(from) || !this.isTrusted(to)) return
    const { header, bodyAt, tagAt } = this.pads.frame(from, to, bytes, FRAME_VERSION)
    if (kindOfCode(header.type).name !== 'relay') return
    const { path, hop, pads } = unpackBody('relay', bytes.subarray(bodyAt, tagAt)) as Body<'relay'>
    const bits = this.bitsOf(from, to, pads)
    this.relayed++
    if (bits === undefined) this.unknown++
    else if (hop === 1) this.ledger.carries(bits, [this.homeOf(path[0]!), this.homeOf(path.at(-1)!)], `the first pads ${from} - ${to} of a job to ${path.at(-1)!}`)
    else this.ledger.spent(bits, `pads ${from} - ${to} of a job ${path.join(' - ')}`)
  }

  /** Bits of our own lane with a neighbour that hid keys for its SAEs. */
  grant (from: KmeId, to: KmeId, { pads, master }: Body<'namedGrant'>): void {
    const bits = this.isTrusted(from) && this.isTrusted(to) ? this.bitsOf(from, to, pads) : undefined
    if (bits !== undefined) this.ledger.spent(bits, `pads ${from} - ${to} of a grant of ${master}`)
  }

  /** From the devices' frames, by the sender's own book of which frames are in which block. */
  private bitsOf (from: KmeId, to: KmeId, pads: Pads): Uint8Array | undefined {
    const core = this.world.at(from).process?.pools.get(to)?.core
    if (core === undefined) return undefined
    const parts: Uint8Array[] = []
    for (const { block, offset, length } of pads) {
      let at = 0, got = 0
      for (const frame of core.framesOf(block)) {
        const begin = Math.max(offset, at), end = Math.min(offset + length, at + frame.length), payload = this.world.payloads?.get(frame.id)
        if (begin < end && payload !== undefined) { parts.push(payload.subarray(begin - at, end - at)); got += end - begin }
        at += frame.length
      }
      if (got !== length) return undefined
    }
    return Buffer.concat(parts)
  }
}
