import { invariant } from '../kernel/errors.js'
import type { OpenAdapter } from './adapter.js'
import { RingSource } from './ring-source.js'

/** Settings of a ring in shared memory. */
export interface RingSettings {
  readonly path: string
  /** memory, file or device, see RingOptions. */
  readonly kind: string
  readonly slots: number
  readonly macKeyFile?: string | undefined
}

/** A ring that the device itself writes (docs/ring-format.md). */
export const openRing: OpenAdapter<RingSettings> = ({ path, kind, slots, macKeyFile }, { addon, vault, clock, sealing, linkId, fingerprintKey }) => {
  invariant(kind === 'memory' || kind === 'file' || kind === 'device', 'the configuration knows the kinds of rings')
  return new RingSource({
    addon, vault, clock, sealing, ring: { path, kind, slots, linkId, fingerprintKey, ...(macKeyFile === undefined ? {} : { macKeyPath: macKeyFile }) },
  })
}
