import { fromCallback } from 'xstate'
import type { DeviceCommand, DeviceReport } from '../../machines/device.js'
import { KmeError } from '../kernel/errors.js'
import type { DeviceSource } from './adapter.js'
import type { RingListener } from './ring-source.js'

/** Opens the source of one device, with the store's names already remembered. Throws what its adapter throws. */
export type OpenSource = (device: string) => DeviceSource
/** Everything of the listener but the reports, which go to the machine. */
export type DeviceOutlet = Omit<RingListener, 'report'> & {
  /** The source that is open now, or undefined: for `view`, `resume` and metrics. */
  opened (source: DeviceSource | undefined): void
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
const isRingFault = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'RING_INVALID'

/**
 * The `ring` actor of machines/device.ts: opens, closes and reports. A ring that is not usable is a `device.fault`; only
 * bugs and failures of the process itself reach the machine as errors.
 */
export const createRingActor = (open: OpenSource, outlet: DeviceOutlet) =>
  fromCallback<DeviceCommand, { device: string }>(({ input, sendBack, receive }) => {
    let source: DeviceSource | undefined
    const close = (): void => {
      source?.close()
      if (source !== undefined) outlet.opened(undefined)
      source = undefined
    }
    const start = (): void => {
      // Asked again while it waits for its device: it will tell by itself.
      if (source !== undefined) return
      try {
        source = open(input.device)
        outlet.opened(source)
        source.start({
          batch: (batch) => { outlet.batch(batch) },
          notice: (notice) => { outlet.notice(notice) },
          report: (report: DeviceReport) => { sendBack(report) },
        })
      } catch (cause) {
        close()
        if (!isRingFault(cause)) throw new KmeError('DEVICE_FAULT', `device ${input.device}: ${messageOf(cause)}`, { cause })
        sendBack({ type: 'device.fault', reason: messageOf(cause) })
      }
    }
    receive((command) => { if (command.type === 'device.open') start(); else close() })
    return close
  })
