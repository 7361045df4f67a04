import type { Config } from '../config/schema.js'
import type { AdapterDeps, DeviceSource } from '../device/adapter.js'
import { openRing } from '../device/ring-adapter.js'
import { invariant } from '../kernel/errors.js'

type LinkConfig = Config['links'][number]

/**
 * The device of a link as its configuration says: exactly one of the groups is there (src/config/rules.ts).
 *
 * @throws errors with code `RING_INVALID`: what, where, what to do.
 */
export const openDevice = (link: LinkConfig, deps: AdapterDeps): DeviceSource => {
  if (link.ring !== undefined) return openRing(link.ring, deps)
  invariant(false, 'a link has a device')
}
