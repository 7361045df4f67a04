/** Two channels joined by hand: every frame passes through the test, which may change, hold or repeat it. */
import { createPeerCounters, type PeerCounters } from '../../src/peer/counters.js'
import { Channel } from '../../src/peer/channel.js'
import { defaultPeerLimits } from '../../src/peer/limits.js'
import type { CloseReason } from '../../src/peer/refusal.js'
import type { TagVault } from '../../src/peer/tags.js'
import type { Transport } from '../../src/peer/transport.js'
import { normalOffer, offeredProtocols } from '../../src/peer/versions.js'
import { SimRandom } from '../../sim/random.js'
import { Desk, PAD_BLOCK_BYTES, TestPads } from './desk.js'
import { ReferenceVault } from './reference-tag.js'

export const idA = 'kme-a', idB = 'kme-b'

/** Takes frames and keeps them until they are delivered. */
export class Pipe implements Transport {
  readonly frames: Uint8Array[] = []
  closedWith: { reason: CloseReason, text: string } | undefined
  refuses = false
  pings = 0
  get bufferedBytes (): number { return this.frames.reduce((sum, frame) => sum + frame.length, 0) }
  send (bytes: Uint8Array): boolean {
    if (this.refuses || this.closedWith !== undefined) return false
    this.frames.push(bytes)
    return true
  }

  ping (): void { this.pings++ }
  close (reason: CloseReason, text: string): void { this.closedWith = { reason, text } }
  next (): Uint8Array {
    const frame = this.frames.shift()
    if (frame === undefined) throw new Error('no frame is waiting')
    return frame
  }
}

export interface Side { readonly desk: Desk, readonly pipe: Pipe, readonly channel: Channel, readonly counters: PeerCounters, readonly ends: string[], readonly steps: string[] }

export interface PairOptions {
  readonly vaults?: readonly [TagVault & { addBlock (bytes: Uint8Array): number }, TagVault & { addBlock (bytes: Uint8Array): number }]
  readonly sendQueueBytesMax?: number
  readonly seed?: number
  readonly offered?: readonly [string, string]
  readonly floorBytes?: number
  readonly admit?: () => void
}

/** A dials. Nothing has been said yet. */
export const makePair = (options: PairOptions = {}): { a: Side, b: Side, vaults: readonly [ReferenceVault, ReferenceVault] } => {
  const random = new SimRandom(options.seed ?? 1)
  const ofA = random.bytes(PAD_BLOCK_BYTES), ofB = random.bytes(PAD_BLOCK_BYTES)
  const vaults = options.vaults ?? [new ReferenceVault(), new ReferenceVault()] as const
  const side = (index: 0 | 1): Side => {
    const vault = vaults[index]
    const blockA = { number: 100, handle: vault.addBlock(ofA) as never }, blockB = { number: 200, handle: vault.addBlock(ofB) as never }
    const [self, remote] = index === 0 ? [idA, idB] : [idB, idA]
    const [own, peers] = index === 0 ? [blockA, blockB] : [blockB, blockA]
    const desk = new Desk(self, new TestPads(own, peers, PAD_BLOCK_BYTES, options.floorBytes), index + 1)
    const pipe = new Pipe(), counters = createPeerCounters(), ends: string[] = [], steps: string[] = []
    const offered = options.offered?.[index] ?? normalOffer(offeredProtocols.join(','))
    const channel = new Channel({
      self, handler: desk, vault, random, counters, sendQueueBytesMax: options.sendQueueBytesMax ?? defaultPeerLimits.sendQueueBytesMax,
      link: { remote, role: index === 0 ? 'dialler' : 'acceptor', offered, version: 2, transport: pipe, recheck: () => '' },
      admit: options.admit ?? (() => {}), progress: (step) => { steps.push(step) }, ended: (reason, _text, by) => { ends.push(`${reason} by ${by}`) },
    })
    return { desk, pipe, channel, counters, ends, steps }
  }
  return { a: side(0), b: side(1), vaults: vaults as never }
}

/** Both have said hello and are ready. */
export const readyPair = (options: PairOptions = {}): ReturnType<typeof makePair> => {
  const pair = makePair(options)
  pair.a.channel.start()
  pair.b.channel.start()
  pair.b.channel.receive(pair.a.pipe.next())
  pair.a.channel.receive(pair.b.pipe.next())
  return pair
}

/** Hands everything that waits to the other side until nothing does. */
export const pump = ({ a, b }: { a: Side, b: Side }): void => {
  while (a.pipe.frames.length + b.pipe.frames.length > 0) {
    if (a.pipe.frames.length > 0) b.channel.receive(a.pipe.next())
    if (b.pipe.frames.length > 0) a.channel.receive(b.pipe.next())
  }
}
