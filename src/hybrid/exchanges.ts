import type { NativeVault, SealerHandle } from '../device/native.js'
import { KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { PeerPart } from '../peer/parts.js'
import { HybridPeer, type HybridCounters, type HybridPeerOptions } from './hybrid-peer.js'
import type { HybridVault } from './secret.js'

export interface HybridOptions extends Omit<HybridPeerOptions, 'remote' | 'counters'> {
  readonly vault: HybridVault & Pick<NativeVault, 'sealHybrid'>
}

/** How the shares of one frame are joined (the relay's `SealWith`). */
export interface Sealing {
  readonly sealer: number, readonly header: Uint8Array, readonly blocks: Uint32Array, readonly offsets: Uint32Array
  readonly length: number, readonly out: Uint8Array
}

/**
 * The hybrid exchanges of a KME with all others. What it adds to a relayed block: the nodes in between know the block's bits but not
 * the stream over them. Against them a hybrid key is as strong as ML-KEM-768 and the signatures of the certificates that authenticate
 * the control channel; against everybody else it stays as strong as the relay, whatever becomes of ML-KEM.
 */
export class HybridExchanges {
  readonly counters: HybridCounters = { agreed: 0, mismatches: 0, unanswered: 0, sealedBytes: 0 }
  readonly #peers = new Map<KmeId, HybridPeer>()

  constructor (private readonly o: HybridOptions) {}

  /** Its part of the control channel to `remote`: one for each KME, also over several connections (parts.ts, `joinParts`). */
  part (remote: KmeId): PeerPart {
    const known = this.#peers.get(remote) ?? new HybridPeer({ ...this.o, remote, counters: this.counters })
    this.#peers.set(remote, known)
    return known
  }

  /** A hybrid pool with that KME is open at both ends: exchanges begin. Again is harmless. Lasts as long as the connection. */
  want (remote: KmeId): void { this.#peers.get(remote)?.want() }

  /** No pool with that KME is hybrid any more. */
  unwant (remote: KmeId): void { this.#peers.get(remote)?.unwant() }

  /** The exchange to use for new blocks with that KME; undefined while there is none. Both ends have it, or will have before our next message. */
  current (remote: KmeId): Uint8Array | undefined { return this.#peers.get(remote)?.current?.id }

  /** Whether frames can be sealed under that exchange. */
  has (remote: KmeId, exchange: Uint8Array): boolean { return this.#peers.get(remote)?.find(exchange) !== undefined }

  /**
   * Seals the xor of shares under the stream of (exchange, frame): `NativeVault.sealHybrid`. Frames of a job come in order, each once.
   *
   * @param frame The frame's place in its job; its name is in the header.
   * @returns the record's length in `out`.
   * @throws KmeError `PROTOCOL`: the exchange is gone, or the frame had its turn.
   */
  seal (remote: KmeId, exchange: Uint8Array, job: Uint8Array, frame: number, how: Sealing): number {
    const peer = this.#peers.get(remote)
    const found = peer?.find(exchange)
    if (peer === undefined || found === undefined) throw new KmeError('PROTOCOL', `there is no such hybrid exchange with ${remote} any more`)
    found.claim(job, frame, how.length)
    const bytes = this.o.vault.sealHybrid(how.sealer as SealerHandle, how.header, how.blocks, how.offsets, how.length, found.key, how.out)
    this.counters.sealedBytes += how.length
    peer.used()
    return bytes
  }
}
