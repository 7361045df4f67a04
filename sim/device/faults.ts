import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { KmeError } from '../../src/kernel/errors.js'

const side = Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b'), Type.Literal('both')]))
const frames = Type.Integer({ minimum: 1, maximum: 1_000_000 })
const attack = Type.Union([
  Type.Literal('none'), Type.Literal('intercept-resend'), Type.Literal('photon-number-splitting'), Type.Literal('beam-splitting'), Type.Literal('blinding'),
])
const closed = { additionalProperties: false } as const
const command = <T extends string>(name: T) => ({ cmd: Type.Literal(name) })

/** Flaws of single frames, by the names of FLAWS in src/device/native.ts. */
const flawed = Type.Union([
  Type.Literal('wrong-crc'), Type.Literal('torn'), Type.Literal('stuck-byte'), Type.Literal('stuck-line'), Type.Literal('other-bytes'),
])

/** One line on the control socket. */
const CommandSchema = Type.Union([
  Type.Object({ cmd: flawed, side, frames }, closed), // the next so many frames
  Type.Object({ ...command('gap'), side, frames }, closed), // lost before the ring
  Type.Object({ ...command('duplicate'), side, frames }, closed), // the last ones once more, with their numbers
  Type.Object({ ...command('replay'), side, blocks: Type.Integer({ minimum: 1, maximum: 1_000 }) }, closed), // old bytes, new names
  Type.Object({ ...command('abort'), side }, closed), // takes the last key block back
  Type.Object({ ...command('test-data'), side, frames }, closed),
  Type.Object({ ...command('cut') }, closed), // the fibre: no key until resume
  Type.Object({ ...command('noise'), qber: Type.Number({ minimum: 0, maximum: 0.5 }) }, closed),
  Type.Object({ ...command('stall'), ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_600_000 })) }, closed), // no beat, no frame
  Type.Object({ ...command('overrun'), frames }, closed), // so much at once; what finds no room is dropped
  Type.Object({ ...command('restart'), state: Type.Boolean() }, closed), // new epoch; with state: resends what is not durable
  Type.Object({ ...command('resume') }, closed),
  Type.Object({ ...command('rate'), rate: Type.String({ maxLength: 32 }) }, closed),
  Type.Object({ ...command('eve'), attack, share: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })) }, closed), // only with --physics
  Type.Object({ ...command('stats') }, closed),
  Type.Object({ ...command('stop') }, closed),
])
export type Command = Static<typeof CommandSchema>
export type Side = 'a' | 'b' | 'both'

const names = [
  'wrong-crc', 'torn', 'stuck-byte', 'stuck-line', 'other-bytes', 'gap', 'duplicate', 'replay', 'abort', 'test-data', 'cut', 'noise',
  'stall', 'overrun', 'restart', 'resume', 'rate', 'eve', 'stats', 'stop',
] satisfies Command['cmd'][]

/** @throws KmeError `BAD_REQUEST` saying what is wrong. */
export const parseCommand = (line: string): Command => {
  let value: unknown
  try { value = JSON.parse(line) } catch { throw new KmeError('BAD_REQUEST', 'a command is one line of JSON, like {"cmd":"stats"}') }
  if (Value.Check(CommandSchema, value)) return value
  const name = typeof value === 'object' && value !== null && 'cmd' in value ? value.cmd : undefined
  if (!names.some((known) => known === name)) throw new KmeError('BAD_REQUEST', `cmd must be one of ${names.join(', ')}`)
  throw new KmeError('BAD_REQUEST', `wrong members of the command ${String(name)}; see docs/ring-format.md, "The device process"`)
}
