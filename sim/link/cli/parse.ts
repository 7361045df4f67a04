import { KmeError } from '../../../src/kernel/errors.js'
import type { Interval } from '../run/run.js'
import type { Eve } from '../physics/eve.js'

/** Reads a number option. @throws KmeError `BAD_REQUEST` naming the option. */
export const numberOption = (name: string, low = -Infinity, high = Infinity) => (text: string): number => {
  const x = Number(text)
  if (text.trim() === '' || Number.isNaN(x) || x < low || x > high) throw new KmeError('BAD_REQUEST', `--${name}: a number from ${low} to ${high} is needed, got "${text}"`)
  return x
}

/** `60-120`: seconds from and to. @throws KmeError `BAD_REQUEST`. */
export const intervalOption = (text: string): Interval => {
  const found = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text)
  const [fromS, toS] = [Number(found?.[1]), Number(found?.[2])]
  if (!(toS > fromS)) throw new KmeError('BAD_REQUEST', `"${text}" is no interval: write seconds from and to, such as 600-900`)
  return { fromS, toS }
}

/** `intercept-resend:0.3@600-900`: attack, its share, and when. @throws KmeError `BAD_REQUEST`. */
export const attackOption = (text: string): Interval & { eve: Eve } => {
  const found = /^([a-z-]+)(?::([\d.]+))?(?:@(.+))?$/.exec(text)
  const share = found?.[2] === undefined ? 1 : Number(found[2])
  const when = found?.[3] === undefined ? { fromS: 0, toS: Infinity } : intervalOption(found[3])
  switch (found?.[1]) {
    case 'intercept-resend': case 'beam-splitting': return { ...when, eve: { kind: found[1], share } }
    case 'photon-number-splitting': case 'pns': return { ...when, eve: { kind: 'photon-number-splitting', blocked: share } }
    case 'blinding': return { ...when, eve: { kind: 'blinding' } }
    default: throw new KmeError('BAD_REQUEST', `"${text}" is no attack: write intercept-resend:SHARE, photon-number-splitting:SHARE, beam-splitting:SHARE or blinding, and @FROM-TO in seconds`)
  }
}

/** Lengths from `from` to `to`, at most 10,000 of them. @throws KmeError `BAD_REQUEST`. */
export const range = (from: number, to: number, step: number): number[] => {
  if (!(step > 0 && to >= from && (to - from) / step <= 10_000)) throw new KmeError('BAD_REQUEST', `no range from ${from} to ${to} in steps of ${step} (at most 10,000 points)`)
  return Array.from({ length: Math.floor((to - from) / step + 1e-9) + 1 }, (_, i) => from + i * step)
}
