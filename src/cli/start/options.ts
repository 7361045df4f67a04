import { Command, InvalidArgumentError, Option } from 'commander'
import type { Streams } from '../output.js'

/** Ports of one KME: keys for SAEs, the channel between KMEs, operators. */
export interface Ports { readonly rest: number, readonly peering: number, readonly admin: number }
export interface PortPairs { readonly a: Ports, readonly b: Ports }

export const defaultFolder = '.qkme'
export const defaultPorts: PortPairs = { a: { rest: 8443, peering: 9443, admin: 9444 }, b: { rest: 8543, peering: 9543, admin: 9544 } }

type Pair = readonly [number, number]

export interface StartOptions {
  readonly folder: string
  /** Secret bits per second of the link between the two KMEs. */
  readonly rateBps: number
  /** A link of the simulator that makes the key, instead of a generator at `rateBps`. */
  readonly physics?: string
  readonly restPorts?: Pair
  readonly peeringPorts?: Pair
  readonly adminPorts?: Pair
  readonly freePorts: boolean
  readonly reset: boolean
  readonly once: boolean
}

const physicsRateBps = 500_000

const units: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 }

const rate = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(text)
  const rateBps = match === null ? NaN : Number(match[1]) * (units[match[2] ?? ''] as number)
  if (!(rateBps >= 1_000 && rateBps <= 1e9)) throw new InvalidArgumentError('must be from 1k to 1G bits per second, such as 500k or 10M.')
  return rateBps
}

const pair = (text: string): Pair => {
  const numbers = text.split(',').map(Number)
  const [a, b] = numbers
  if (numbers.length !== 2 || !numbers.every((n) => Number.isInteger(n) && n >= 1 && n <= 65_535)) throw new InvalidArgumentError('must be two ports from 1 to 65535, such as 8443,8543.')
  return [a as number, b as number]
}

/**
 * Reads the options of `npm start`.
 *
 * @throws CommanderError for help (exit code 0) and for wrong options (told on stderr already).
 */
export const parseStartOptions = (args: readonly string[], streams: Streams): StartOptions => {
  const program = new Command('npm start --')
    .description('Two KMEs on this machine and the QKD link between them: makes what they need, starts them, exchanges a key, and runs until Ctrl-C.')
    .option('--folder <path>', 'folder for everything that is kept', defaultFolder)
    .option('--physics <link>', 'let a simulated link make the key, such as metro-25km (1 GHz, 25 km): pulses, detections, error correction, privacy amplification')
    .option('--rest-ports <a,b>', 'ports for SAEs at both KMEs (8443,8543)', pair)
    .option('--peering-ports <a,b>', 'ports between the KMEs (9443,9543)', pair)
    .option('--admin-ports <a,b>', 'ports for operators (9444,9544)', pair)
    .option('--free-ports', 'take ports that are free instead', false)
    .option('--reset', 'delete the folder first (only one that npm start made)', false)
    .option('--once', 'stop after the first exchange of a key', false)
    .addHelpText('after', '\nPorts are kept in the folder for the next start. Exit codes: node dist/src/cli/qkme.js exit-codes.\n\nExamples:\n  npm start\n  npm start -- --rate 100M --folder /tmp/qkme\n  npm start -- --free-ports --once\n  npm start -- --physics metro-25km\n')
    .configureHelp({ helpWidth: 80 })
    .configureOutput({ writeOut: streams.out, writeErr: streams.err })
    .showHelpAfterError('(see npm start -- --help)')
    .allowExcessArguments(false)
    .exitOverride()
  program.addOption(new Option('--rate <bits/s>', 'secret bits per second of the QKD link, such as 500k or 10M').argParser(rate).default(10e6, '10M').conflicts('physics'))
  program.parse([...args], { from: 'user' })
  const { rate: rateBps, ...rest } = program.opts<Omit<StartOptions, 'rateBps'> & { rate: number }>()
  // Pools are sized for what such a link delivers on this machine.
  return { ...rest, rateBps: rest.physics === undefined ? rateBps : physicsRateBps }
}
