import type { Config } from '../config/schema.js'
import type { AdapterDeps, DeviceSource } from '../device/adapter.js'
import { openCorFiles } from '../device/cor-files.js'
import { openPciBar, openUio, openVfio } from '../device/pci/port-source.js'
import { openStream } from '../device/pci/stream-source.js'
import { openPull014 } from '../device/pull014.js'
import { openPush004 } from '../device/push004.js'
import { openQix } from '../device/qix-stream.js'
import { openRecordFile } from '../device/record-file.js'
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
  if (link.corFiles !== undefined) return openCorFiles(link.corFiles, deps)
  if (link.recordFile !== undefined) return openRecordFile(link.recordFile, deps)
  if (link.pull014 !== undefined) return openPull014(link.pull014, deps)
  if (link.push004 !== undefined) return openPush004(link.push004, deps)
  if (link.qix !== undefined) return openQix(link.qix, deps)
  if (link.pciBar !== undefined) return openPciBar(link.pciBar, deps)
  if (link.uio !== undefined) return openUio(link.uio, deps)
  if (link.vfio !== undefined) return openVfio(link.vfio, deps)
  if (link.xdma !== undefined) return openStream(link.xdma, deps)
  invariant(false, 'a link has a device')
}
