/** An engine's stand-in for tests of the channel: notes what it hears and has a reserve of pads. */
import { Value } from '@sinclair/typebox/value'
import type { BlockHandle } from '../../src/device/native.js'
import type { KmeId } from '../../src/kernel/ids.js'
import { messages, type Body, type Column, type MessageName } from '../../src/peer/messages.js'
import type { AuthPads, PadBytes, PadRef, PeerChannel, PeerHandler } from '../../src/peer/ports.js'

export const PAD_BLOCK_BYTES = 16_384

/** One block per direction. Positions only rise, on both sides, over all connections. */
export class TestPads implements AuthPads {
  #next = 0
  #opened = -1

  constructor (
    private readonly own: { readonly number: number, readonly handle: BlockHandle },
    private readonly peers: { readonly number: number, readonly handle: BlockHandle },
    public bytesMax = PAD_BLOCK_BYTES,
    private readonly floorBytes = 0,
  ) {}

  take (vital: boolean): PadBytes | undefined {
    if (this.#next + 16 > this.bytesMax - (vital ? 0 : this.floorBytes)) return undefined
    const offset = this.#next
    this.#next += 16
    return { block: this.own.number, offset, handle: this.own.handle }
  }

  open (ref: PadRef): PadBytes | undefined {
    if (ref.block !== this.peers.number || ref.offset <= this.#opened || ref.offset % 16 !== 0 || ref.offset + 16 > PAD_BLOCK_BYTES) return undefined
    this.#opened = ref.offset
    return { ...ref, handle: this.peers.handle }
  }
}

/** Fields that the test does not care about are zero. */
export const column = (incarnation: number): Column =>
  ({ ...Value.Create(messages.hello.schema.properties.mine), nonce: new Uint8Array(16).fill(2), incarnation, highestBlock: 7 })

export const helloOf = (kme: KmeId, incarnation: number): Body<'hello'> => ({ kme, mine: column(incarnation), yours: null, saes: 0 })

export class Desk implements PeerHandler {
  readonly hellos: Body<'hello'>[] = []
  readonly got: { readonly name: MessageName, readonly body: unknown }[] = []
  readonly closed: string[] = []
  channel: PeerChannel | undefined
  writable = 0
  hellosMade = 0
  /** Called for each message: tests throw from here. */
  react: (name: MessageName, body: unknown) => void = () => {}
  reactToHello: (body: unknown) => void = () => {}

  constructor (private readonly kme: KmeId, public pads: AuthPads, public incarnation = 1) {}

  hello (): object {
    this.hellosMade++
    return helloOf(this.kme, this.incarnation)
  }

  onHello (body: unknown): void {
    this.reactToHello(body)
    this.hellos.push(body as Body<'hello'>)
  }

  onMessage (name: MessageName, body: unknown): void {
    this.got.push({ name, body })
    this.react(name, body)
  }

  onReady (channel: PeerChannel): void { this.channel = channel }
  onClosed (reason: string): void {
    this.closed.push(reason)
    this.channel = undefined
  }

  onWritable (): void { this.writable++ }

  /** Sends when there is a channel. */
  send (name: MessageName, body: object): string { return this.channel?.send(name, body) ?? 'no channel' }
}

/** A body that fits the schema: least values where the test says nothing, so that a new field of a message changes no test. */
const sample = <N extends MessageName>(name: N, fields: Partial<Body<N>>): Body<N> => ({ ...Value.Create(messages[name].schema) as Body<N>, ...fields })

/** Some messages, with and without tag, of several shapes. */
export const samples = {
  propose: sample('propose', { number: 5, owner: 'kme-b', frames: [{ link: 1, block: new Uint8Array(16).fill(9), offset: 4, length: 3968 }], tag: new Uint8Array(16).fill(3) }),
  stored: sample('stored', { number: 5 }),
  horizon: sample('horizon', { from: 2 ** 40, blocks: [1, 2, 70_000] }),
  horizonAck: sample('horizonAck', { index: 3 }),
  grantAsk: sample('grantAsk', { blocks: 4 }),
  association: sample('association', { seq: 12, number: 1, master: 'sae-a', slaves: ['sae-b', 'sae-ö'] }),
  chainHead: sample('chainHead', { records: 99, head: new Uint8Array(32).fill(7) }),
}
