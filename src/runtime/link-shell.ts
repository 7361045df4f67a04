import { fromCallback } from 'xstate'
import type { LinkCommand, LinkReport, QuarantineCause } from '../../machines/link.js'
import type { Cancel } from '../kernel/time.js'
import type { PartBoard } from './board.js'

/** What the pool engine and the ring of a link offer its actor. */
export interface LinkPort {
  /** Confirmed blocks, mismatches, error rates (0 to 1) and integrity findings of this link, until cancelled. */
  listen (report: (event: LinkReport) => void): Cancel
  /**
   * Whether frames of this link may become key. `cause` '' admits. Kept durably by the engine, so that a quarantine
   * outlives a restart. Must not throw: a store that fails is told by the store.
   */
  setAdmission (cause: QuarantineCause | ''): void
}

/** Device states in which key can come, now or as soon as the device has some. */
const deviceUp = new Set(['attached', 'running'])

/**
 * The `effects` actor of machines/link.ts. Device and peer are other parts: their states are looked up on the board.
 *
 * @param parts System IDs of the device and the peer of this link.
 */
export const createLinkEffects = (port: LinkPort, board: PartBoard, parts: { readonly device: string, readonly peer: string }) =>
  fromCallback<LinkCommand, { link: string }>(({ sendBack, receive }) => {
    receive((command) => { port.setAdmission(command.admit ? '' : command.cause) })
    const cancels = [
      port.listen((event) => {
        // A rate outside 0 to 1 is a device's mistake and says nothing about the link.
        if (event.type !== 'link.qber' || (event.qber >= 0 && event.qber <= 1)) sendBack(event)
      }),
      board.watch(parts.device, (state) => { sendBack({ type: 'link.device', up: deviceUp.has(state) }) }),
      board.watch(parts.peer, (state) => { sendBack({ type: 'link.peer', up: state === 'ready' }) }),
    ]
    return () => { for (const cancel of cancels) cancel() }
  })
