import { createHash } from 'node:crypto'

/** What both sides have seen of the beginning of a connection. */
export interface SessionTranscript {
  /** The versions that the dialler offered, in its words, and the one that the acceptor chose. */
  readonly offered: string
  readonly version: number
  /** Both hello frames, whole: addresses, incarnations, store nonces and the connection's own nonces are in them. */
  readonly diallerHello: Uint8Array
  readonly acceptorHello: Uint8Array
}

export const SESSION_BYTES = 32
const label = new TextEncoder().encode('qkme peer session 1\0')

/**
 * The session ID that every tag of one direction covers: SHA-256 over the transcript. So a frame can be used on one
 * connection and in one direction only, and the first good tag proves that nobody changed the hellos or the choice of
 * version.
 *
 * @param fromAcceptor The direction whose frames are tagged with it.
 */
export const sessionId = (transcript: SessionTranscript, fromAcceptor: boolean): Uint8Array => {
  const hash = createHash('sha256').update(label).update(Uint8Array.of(fromAcceptor ? 1 : 0, transcript.version))
  for (const part of [new TextEncoder().encode(transcript.offered), transcript.diallerHello, transcript.acceptorHello]) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, part.length, true)
    hash.update(length).update(part)
  }
  return new Uint8Array(hash.digest())
}
