import { KmeError } from '../../kernel/errors.js'
import type { NativeDevicePort, RegisterPlace } from './native-pci.js'

/** One step of what a device is told at its start or its end. */
export interface RegisterWrite extends RegisterPlace {
  readonly bytes: number
  /** A number (decimal or 0x…), or the name of one that is known only when the ring is there: see `RegisterValues`. */
  readonly value: string
}

/** Numbers that a register program may name. `Low` and `High`: halves, for registers of 4 bytes. */
export const registerNames = ['ringAddress', 'ringAddressLow', 'ringAddressHigh', 'ringBytes', 'slots', 'stride', 'link'] as const
export type RegisterValues = Readonly<Record<typeof registerNames[number], bigint>>
/** Writes of one program at most. */
export const REGISTER_WRITES_MAX = 64

/** @param ringAddress Where the device finds the ring; 0 if it is in the device. */
export const registerValues = (ringAddress: number, ring: Readonly<Record<string, number>>): RegisterValues => {
  const address = BigInt(ringAddress), slots = BigInt(ring['slots'] ?? 0), stride = BigInt(ring['stride'] ?? 0)
  return {
    ringAddress: address, ringAddressLow: address & 0xffff_ffffn, ringAddressHigh: address >> 32n,
    ringBytes: 4096n + slots * stride, slots, stride, link: BigInt(ring['link'] ?? 0),
  }
}

const valueOf = (write: RegisterWrite, values: RegisterValues, where: string): bigint => {
  const named = registerNames.find((name) => name === write.value)
  const value = named !== undefined ? values[named] : /^(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})$/.test(write.value) ? BigInt(write.value) : undefined
  if (value === undefined) throw new KmeError('RING_INVALID', `${where}: "${write.value}" is neither a number nor one of ${registerNames.join(', ')}`)
  if (value >= 1n << BigInt(8 * write.bytes)) throw new KmeError('RING_INVALID', `${where}: ${write.value} (0x${value.toString(16)}) does not fit ${write.bytes} bytes; write its halves`)
  return value
}

/**
 * Writes the registers of a program in their order. All values are checked before the first is written.
 *
 * @throws RING_INVALID: an unknown name, a value that does not fit, a register that the device does not have.
 */
export const runProgram = (port: NativeDevicePort, program: readonly RegisterWrite[], values: RegisterValues, where: string): void => {
  const writes = program.map((write) => ({ ...write, number: valueOf(write, values, where) }))
  for (const { bar, offset, bytes, number } of writes) {
    if (bytes !== 4 && bytes !== 8) throw new KmeError('RING_INVALID', `${where}: a register has 4 or 8 bytes, not ${bytes}`)
    port.write(bar, offset, bytes, number)
  }
}
