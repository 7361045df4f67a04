import { createHash, randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { FRAME_BYTES_MAX } from '../../src/device/native.js'
import { KmeError } from '../../src/kernel/errors.js'
import { presets } from '../link/analysis/presets.js'

/** Bits per second; Infinity: as fast as the rings take them. */
export type RateBps = number

export interface DeviceOptions {
  readonly ringA: string
  /** Absent: a device with one end, for measurements. */
  readonly ringB?: string
  readonly linkId: number
  readonly rateBps: RateBps
  /** 32 bytes; absent: the system's random source. */
  readonly seed?: Uint8Array
  readonly controlPath?: string
  readonly statePath?: string
  readonly macKeyPath?: string
  readonly frameBytes: number
  readonly blockFrames: number
  readonly qberPpm: number
  /** Key comes from a simulated link instead of a generator. */
  readonly physics?: { readonly preset: string, readonly blockBits: number, readonly seed: number }
}

export const USAGE = `Usage: main.js --ring-a PATH [--ring-b PATH] --link N [options]
Plays the QKD devices of one link: writes equal frames into the rings of both ends.
  --ring-a, --ring-b PATH  Unix socket of each KME's ring, a ring file, or a device's memory
  --link N                 link id, 0 to 4294967295
  --rate R                 secret bits per second: 1k to any number with k, M or G, or "max" (default 1M)
  --seed TEXT              the same key again for the same text (tests only); default: the system's random source
  --control PATH           Unix socket for faults, one JSON command a line
  --state FILE             keeps block numbers over restarts
  --mac-key FILE           32 bytes, mode 0600: frames carry an AES-GMAC
  --frame-bytes N          payload of a frame, a multiple of 32 up to ${FRAME_BYTES_MAX} (default: about a second of the rate)
  --block-frames N         frames of a key block, 1 to 4096 (default: about a tenth of a second of the rate, 1 to 64)
  --physics PRESET         key comes out of a simulated link (npm run sim -- link --help), through both parties' post-processing,
                           as fast as that link makes it; --rate and --qber do not go with it. --seed N (a number): tests only,
                           not with --state, because the same key would get new names
  --physics-block BITS     sifted bits per block of the post-processing (default 2000000)
  --qber X                 bit error rate told in the frames, 0 to 0.5 (default 0.02)
  --check                  only say whether the options are right`

const wrong = (message: string): never => { throw new KmeError('CONFIG_INVALID', `${message}\n\n${USAGE}`) }

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 }

/** "10M" is 10,000,000 bit/s; "max" is Infinity. @throws KmeError `CONFIG_INVALID` below 1 kbit/s. */
export const parseRate = (text: string): RateBps => {
  if (text === 'max') return Infinity
  const match = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(text)
  const rateBps = match === null ? NaN : Number(match[1]) * UNITS[match[2] ?? '']!
  return rateBps >= 1_000 && rateBps <= 1e12 ? rateBps : wrong(`--rate ${text}: not a rate from 1k to 1000G, nor "max"`)
}

const integer = (text: string | undefined, name: string, min: number, max: number, fallback: number): number => {
  if (text === undefined) return fallback
  const value = Number(text)
  return /^\d+$/.test(text) && value >= min && value <= max ? value : wrong(`--${name} ${text}: not a whole number from ${min} to ${max}`)
}

/** Frames of a key block out of a simulated link: its blocks are small. */
const PHYSICS_BLOCK_FRAMES = 4

const physicsOptions = (values: Readonly<Record<string, string | undefined>>): DeviceOptions['physics'] => {
  const preset = values['physics']
  if (preset === undefined) return values['physics-block'] === undefined ? undefined : wrong('--physics-block goes with --physics only')
  if (values['rate'] !== undefined || values['qber'] !== undefined) return wrong('--rate and --qber do not go with --physics: they follow from the link')
  if (!presets.some(({ name }) => name === preset)) return wrong(`--physics ${preset}: no such link; there are ${presets.map(({ name }) => name).join(', ')}`)
  if (values['seed'] !== undefined && values['state'] !== undefined) return wrong('--seed with --physics makes the same key again under new names; leave --state out')
  return {
    preset, blockBits: integer(values['physics-block'], 'physics-block', 100_000, 50_000_000, 2_000_000),
    seed: values['seed'] === undefined ? randomInt(2 ** 47) : integer(values['seed'], 'seed', 0, 2 ** 47, 0),
  }
}

const fraction = (text: string): number => {
  const value = Number(text)
  return text !== '' && value >= 0 && value <= 0.5 ? value : wrong(`--qber ${text}: not a number from 0 to 0.5`)
}

/** A frame holds at most a second of key, so that a link of 1 kbit/s delivers at once. */
const defaultFrameBytes = (rateBps: RateBps): number =>
  Math.min(FRAME_BYTES_MAX, Math.max(96, Math.floor(rateBps / 8 / 32) * 32))

/** @throws KmeError `CONFIG_INVALID` with the usage. */
export const parseOptions = (args: readonly string[]): DeviceOptions => {
  const text = { type: 'string' } as const
  let values: Record<string, string | undefined>
  try {
    values = parseArgs({
      args: [...args],
      options: { 'ring-a': text, 'ring-b': text, link: text, rate: text, seed: text, control: text, state: text, 'mac-key': text, 'frame-bytes': text, 'block-frames': text, qber: text, physics: text, 'physics-block': text },
    }).values
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
  const ringA = values['ring-a'] ?? wrong('--ring-a is needed')
  if (values['link'] === undefined) return wrong('--link is needed')
  const rateBps = parseRate(values['rate'] ?? '1M')
  const physics = physicsOptions(values)
  // A frame with MAC has 16 bytes less room.
  const frameBytesMax = values['mac-key'] === undefined ? FRAME_BYTES_MAX : FRAME_BYTES_MAX - 32
  const frameBytes = integer(values['frame-bytes'], 'frame-bytes', 32, frameBytesMax, Math.min(frameBytesMax, defaultFrameBytes(rateBps)))
  if (frameBytes % 32 !== 0) return wrong(`--frame-bytes ${frameBytes}: not a multiple of 32`)
  const perTenth = Math.round(Math.min(rateBps, 1e9) / 8 / frameBytes / 10)
  return {
    ringA,
    linkId: integer(values['link'], 'link', 0, 2 ** 32 - 1, 0),
    rateBps,
    frameBytes,
    blockFrames: integer(values['block-frames'], 'block-frames', 1, 4_096, physics === undefined ? Math.min(64, Math.max(1, perTenth)) : PHYSICS_BLOCK_FRAMES),
    qberPpm: Math.round(fraction(values['qber'] ?? '0.02') * 1e6),
    ...(values['ring-b'] === undefined ? {} : { ringB: values['ring-b'] }),
    ...(physics === undefined ? {} : { physics }),
    ...(values['seed'] === undefined || physics !== undefined ? {} : { seed: new Uint8Array(createHash('sha256').update(values['seed']).digest()) }),
    ...(values['control'] === undefined ? {} : { controlPath: values['control'] }),
    ...(values['state'] === undefined ? {} : { statePath: values['state'] }),
    ...(values['mac-key'] === undefined ? {} : { macKeyPath: values['mac-key'] }),
  }
}
