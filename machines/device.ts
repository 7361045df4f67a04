import { assign, emit, fromCallback, sendTo, setup } from 'xstate'
import { alertBegins, alertEnds, backoffMs, endedWell, failedBy, notProvided, type AlertEdge, type PartOutput, type StopEvent } from './part.js'

/** What the machine asks of the ring source (src/device). Opening answers with `attached`, `absent` or `fault`. */
export type DeviceCommand = { type: 'device.open' } | { type: 'device.close' }

/** What the ring source tells. `frames` is told once after any other event, not for each frame. */
export type DeviceReport =
  | { type: 'device.attached', epoch: string }
  | { type: 'device.absent', reason: string }
  | { type: 'device.frames' }
  /** No beat of the device for its limit (3 s). */
  | { type: 'device.stalled' }
  /** The device says that it has nothing more to give for now. */
  | { type: 'device.drained' }
  | { type: 'device.gap', frames: number }
  /** The device started anew: a new generation of the ring. */
  | { type: 'device.epoch', epoch: string }
  /** The ring or the device cannot be trusted as it is: a lying header, a failed mapping, a device in fault. */
  | { type: 'device.fault', reason: string }
export type DeviceEvent = DeviceReport | StopEvent

export interface DeviceLimits {
  /** How long to wait before an absent ring is tried again. */
  readonly reopenMs: number
  readonly faultMinMs: number
  readonly faultMaxMs: number
  /** Faults are forgotten after running this long. */
  readonly stableMs: number
}
export const deviceLimits: DeviceLimits = { reopenMs: 2_000, faultMinMs: 1_000, faultMaxMs: 60_000, stableMs: 60_000 }

export interface DeviceInput { readonly device: string, readonly limits?: DeviceLimits }
interface DeviceContext { device: string, limits: DeviceLimits, epoch: string, faults: number, gaps: number, reason: string, output: PartOutput }

/** Life of one QKD device as this KME sees it. The frames themselves never pass here. */
export const deviceMachine = setup({
  types: {} as {
    context: DeviceContext, events: DeviceEvent, input: DeviceInput, output: PartOutput, emitted: AlertEdge
  },
  actors: { ring: fromCallback<DeviceCommand, { device: string }>(notProvided('ring')) },
  delays: {
    reopen: ({ context }) => context.limits.reopenMs,
    faultRetry: ({ context }) => backoffMs({ minMs: context.limits.faultMinMs, maxMs: context.limits.faultMaxMs }, context.faults),
    stable: ({ context }) => context.limits.stableMs,
  },
  actions: {
    open: sendTo('ring', { type: 'device.open' }),
    close: sendTo('ring', { type: 'device.close' }),
    keepEpoch: assign({ epoch: ({ context, event }) => 'epoch' in event ? event.epoch : context.epoch }),
    keepReason: assign({ reason: ({ context, event }) => 'reason' in event ? event.reason : context.reason }),
    countGap: assign({ gaps: ({ context, event }) => context.gaps + (event.type === 'device.gap' ? event.frames : 0) }),
    countFault: assign({ faults: ({ context }) => context.faults + 1 }),
    forgive: assign({ faults: 0 }),
    alertAbsent: emit(({ context: c }) => alertBegins('device.absent', c.device, 'medium', `the device is not there: ${c.reason}`)),
    endAbsent: emit(({ context: c }) => alertEnds('device.absent', c.device)),
    alertStalled: emit(({ context: c }) => alertBegins('device.stalled', c.device, 'medium', 'the device gives no sign of life')),
    endStalled: emit(({ context: c }) => alertEnds('device.stalled', c.device)),
    alertFaulty: emit(({ context: c }) => alertBegins('device.faulty', c.device, 'high', `device fault: ${c.reason}`)),
    endFaulty: emit(({ context: c }) => alertEnds('device.faulty', c.device)),
  },
}).createMachine({
  id: 'device',
  context: ({ input }) => ({ device: input.device, limits: input.limits ?? deviceLimits, epoch: '', faults: 0, gaps: 0, reason: '', output: endedWell }),
  invoke: {
    id: 'ring', src: 'ring', input: ({ context }) => ({ device: context.device }),
    onError: { target: '.failed', actions: assign({ output: ({ event }) => failedBy(event.error, 'DEVICE_FAULT') }) },
  },
  initial: 'detached',
  on: { stop: '.stopped', 'device.fault': { target: '.faulty', actions: 'keepReason' } },
  states: {
    detached: {
      entry: 'open',
      exit: 'endAbsent',
      after: { reopen: { target: 'detached', reenter: true } },
      on: {
        'device.attached': { target: 'attached', actions: 'keepEpoch' },
        'device.absent': { actions: ['keepReason', 'alertAbsent'] },
      },
    },
    attached: {
      on: {
        'device.absent': { target: 'detached', actions: 'keepReason' },
        'device.frames': 'running',
        'device.stalled': 'stalled',
        'device.gap': { actions: 'countGap' },
        'device.epoch': { actions: 'keepEpoch' },
      },
    },
    running: {
      after: { stable: { actions: 'forgive' } },
      on: {
        'device.absent': { target: 'detached', actions: 'keepReason' },
        'device.stalled': 'stalled',
        'device.drained': 'attached',
        'device.gap': { actions: 'countGap' },
        'device.epoch': { target: 'attached', actions: 'keepEpoch' },
      },
    },
    stalled: {
      entry: 'alertStalled',
      exit: 'endStalled',
      on: {
        'device.absent': { target: 'detached', actions: 'keepReason' },
        'device.frames': 'running',
        'device.drained': 'attached',
        'device.gap': { actions: 'countGap' },
        'device.epoch': { target: 'attached', actions: 'keepEpoch' },
      },
    },
    faulty: {
      entry: ['countFault', 'close', 'alertFaulty'],
      exit: 'endFaulty',
      after: { faultRetry: 'detached' },
      on: { 'device.fault': { actions: 'keepReason' } }, // Already closed; what is still under way counts once.
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
  output: ({ context }) => context.output,
})
