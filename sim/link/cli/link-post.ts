import { KmeError } from '../../../src/kernel/errors.js'
import { unaccountedBits } from '../../../src/post/account.js'
import type { BlockAccount } from '../../../src/post/account.js'
import { CASCADE_VARIANTS } from '../../../src/post/native.js'
import { defaultCorrection } from '../../../src/post/options.js'
import type { Correction } from '../../../src/post/options.js'
import { runPost } from '../run/post-run.js'
import type { PostRunResult } from '../run/post-run.js'
import type { RunOptions } from '../run/run.js'
import { figure, progress, table } from './output.js'
import type { Say } from './output.js'

const BURSTS_PER_BLOCK = 10

/** Reads `--post`: a variant of Cascade, or ldpc. @throws KmeError `BAD_REQUEST`. */
export const correctionOption = (text: string | true): Correction => {
  if (text === true) return defaultCorrection
  if (text === 'ldpc' || text === 'ldpc-blind') return { method: 'ldpc', blind: text === 'ldpc-blind' }
  const variant = CASCADE_VARIANTS.find((name) => name === text)
  if (variant === undefined) throw new KmeError('BAD_REQUEST', `--post ${text}: write ${CASCADE_VARIANTS.join(', ')}, ldpc or ldpc-blind`)
  return { method: 'cascade', variant, frameBits: 100_000 }
}

const ACCOUNT_ROWS: readonly (readonly [keyof BlockAccount, string])[] = [
  ['sifted', 'sifted'], ['leaked', 'error correction'], ['verified', 'verification'], ['compressed', 'privacy amplification'],
  ['authenticated', 'authentication'], ['cut', 'last byte'], ['discarded', 'blocks without key'], ['net', 'net secret key'],
]

const show = (say: Say, r: PostRunResult): void => {
  const percent = (x: number | undefined): string => x === undefined ? '-' : figure(x * 100, 3)
  say(table(['block', 's', 'Eve', 'test QBER %', 'key QBER %', 'phase error %', 'f', 'rounds', 'sifted', 'net', 'keys'], r.blocks.map((b) => [
    String(b.number), figure(b.timeS), b.eve ?? '-', percent(b.testQber), percent(b.keyQber), percent(b.phaseError),
    b.efficiency === undefined ? '-' : b.efficiency.toFixed(4), String(b.rounds), String(b.account.sifted), String(b.account.net), b.reason ?? (b.keysEqual ? 'equal' : 'DIFFER'),
  ])))
  const { account } = r
  say(`\nsecret key ${figure(account.net)} bit in ${figure(r.linkS)} s of link time, ${figure(account.net / r.linkS)} bit/s`)
  say(`${r.messages} messages, ${figure(r.messageBytes)} bytes; ${r.authenticationBits} bits spent on tags, a forged one passes with probability <= ${figure(r.forgeryBound, 2)}\n`)
  const share = (bits: number): string => figure(bits / Math.max(1, account.sifted) * 100)
  say(table(['account of bits', 'bits', '% of sifted'], [
    ['detections', String(r.detections), share(r.detections)], ['test basis', String(account.estimated), share(account.estimated)],
    ...ACCOUNT_ROWS.map(([key, name]) => [name, String(account[key]), share(account[key])]),
    ['unaccounted', String(unaccountedBits(account)), share(unaccountedBits(account))], ['in a block not full', String(r.waitingBits), '-'],
  ]))
}

/** `sim link --post`: the same link with real bits, through two parties and their whole post-processing. Returns the account of all blocks. */
export const runLinkPost = (say: Say, title: string, options: RunOptions, correction: Correction, blocks: number, json: boolean): BlockAccount => {
  const { blockBits } = options
  const bar = progress(blocks, 'post-processing'), run = runPost({
    config: options.config, blocks, durationS: options.durationS, seed: options.seed,
    burstS: Math.min(1, blockBits / BURSTS_PER_BLOCK / siftedRate(options)),
    post: { source: options.config.source, security: options.security, blockBits, qberAbort: options.qberAbort, correction },
    ...(options.cuts === undefined ? {} : { cuts: options.cuts }), ...(options.attacks === undefined ? {} : { attacks: options.attacks }),
  })
  let next = run.next()
  for (; next.done !== true; next = run.next()) bar.step()
  bar.done()
  if (json) {
    say(JSON.stringify({ seed: options.seed, ...next.value }, null, 2))
    return next.value.account
  }
  say(`${title}, ${options.config.fibre.lengthKm} km, seed ${options.seed}, blocks of ${figure(blockBits)} bits, ${correction.method === 'ldpc' ? 'LDPC' : `Cascade ${correction.variant}`}\n`)
  show(say, next.value)
  return next.value.account
}

/** Roughly how many sifted bits come in a second: enough to cut time into bursts. */
const siftedRate = ({ config }: RunOptions): number => {
  const { source, receiver, fibre, keyBasis } = config
  const eta = receiver.efficiency * 10 ** (-(fibre.lengthKm * fibre.lossDbPerKm + fibre.extraLossDb) / 10)
  const mean = source.intensities.reduce((sum, k, i) => sum + k * source.probabilities[i]!, 0)
  const perS = source.pulseRateHz * (1 - Math.exp(-eta * mean) + 2 * receiver.darkPerDetector)
  return Math.max(1, perS / (1 + perS * receiver.deadTimeS) * keyBasis ** 2)
}
