/** Rows of the post-processing: Cascade alone, and the whole chain from detections to key. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { presetNamed } from '../sim/link/analysis/presets.js'
import { siftedPair } from '../sim/link/chance/bits.js'
import { Xoshiro } from '../sim/link/chance/xoshiro.js'
import { BurstSource } from '../sim/link/party/burst.js'
import { SimRandom } from '../sim/random.js'
import { loadNative, RECORD_STRIDE } from '../src/device/native.js'
import { invariant } from '../src/kernel/errors.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { AliceSession } from '../src/post/alice-session.js'
import { BobSession } from '../src/post/bob-session.js'
import { equalBytes } from '../src/post/bits.js'
import { binaryEntropy } from '../src/post/entropy.js'
import { CASCADE_VARIANTS, loadPost } from '../src/post/native.js'
import { defaultCorrection } from '../src/post/options.js'
import type { CascadeVariant } from '../src/post/options.js'
import type { BlockReport, PostOutput } from '../src/post/session.js'
import { openLmdbKv } from '../src/store/lmdb.js'
import { makeRecordHeader, RECORD_KIND } from '../src/store/record.js'
import { median, valueFigure, type Figure } from './figures.js'

interface Runs { readonly pairs: number }

const FRAME_BITS = 100_000, FRAMES = 64

const cascadeOnce = (variant: CascadeVariant, qber: number, seed: number): { efficiency: number, mbps: number } => {
  const bits = FRAME_BITS * FRAMES, errors = Math.round(bits * qber), random = Xoshiro.seeded(seed)
  const { alice, bob } = siftedPair(random, bits, errors), shared = random.fill(new Uint8Array(32)), { Cascade } = loadPost()
  const startMs = systemClock.monoMs(), number = CASCADE_VARIANTS.indexOf(variant), ppm = Math.round(qber * 1e6)
  const a = new Cascade(number, bits, FRAME_BITS, ppm, shared, alice), b = new Cascade(number, bits, FRAME_BITS, ppm, shared, bob)
  for (let fromA = a.message(); fromA !== undefined; fromA = a.message()) {
    a.receive(b.message()!)
    b.receive(fromA)
  }
  b.correct(bob)
  const seconds = (systemClock.monoMs() - startMs) / 1_000, { leakedBits } = a.stats()
  a.close()
  b.close()
  invariant(equalBytes(alice, bob), 'Cascade corrects every error')
  return { efficiency: leakedBits / (bits * binaryEntropy(qber)), mbps: bits / seconds / 1e6 }
}

/** f and speed of yanetal, both parties in one thread. */
export const cascade = async ({ pairs }: Runs): Promise<Figure[]> => {
  const at = (variant: CascadeVariant, qber: number): ReturnType<typeof cascadeOnce>[] => Array.from({ length: pairs }, (_, i) => cascadeOnce(variant, qber, i + 1))
  const slow = at('yanetal', 0.02), best = at('option8', 0.02)
  const f = (runs: ReturnType<typeof cascadeOnce>[]): number[] => runs.map(({ efficiency }) => efficiency)
  const note = `${FRAMES} frames of 10^5 bits, checks of frames counted`
  return [
    valueFigure('Cascade yanetal, f at 1 %', '', f(at('yanetal', 0.01)), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 2 %', '', f(slow), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 3 %', '', f(at('yanetal', 0.03)), { atMost: 1.065 }, note),
    valueFigure('Cascade yanetal, f at 5 %', '', f(at('yanetal', 0.05)), { atMost: 1.075 }, note),
    valueFigure('Cascade yanetal at 2 %', 'Mbit/s', slow.map(({ mbps }) => mbps), { atLeast: 12 }, 'both parties in one thread'),
    valueFigure('Cascade option 8 at 2 %', 'Mbit/s', best.map(({ mbps }) => mbps), { atLeast: 12 }, `both parties in one thread; f ${median(f(best)).toFixed(4)}`),
  ]
}

const FRAME_BYTES = 3_968
/** More than goes to the store's journal, so that it is written like key. */
const JOURNALED_NOT = 262_144

/** A party's work, timed alone: its core is the only one that it would have. */
class Party {
  readonly reports: BlockReport[] = []
  readonly out: Uint8Array[] = []
  ms = 0
  /** From the key in memory to sealed records that survive a power cut: waits for the disk included. */
  storeMs = 0

  async store (): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'qkme-chain-')), vault = loadNative().createVault({ arenaBytes: 1_048_576, allowUnlockedMemory: true })
    const kv = await openLmdbKv({ folder, mapBytes: 2 ** 30, reserveBytes: 0 }), sealer = vault.createSealer(vault.newKey(), 1)
    try {
      // A KME's writer has run for long.
      kv.transact((tx) => { tx.put(['warm'], new Uint8Array(JOURNALED_NOT)) })
      await kv.flushed()
      const startMs = systemClock.monoMs(), record = new Uint8Array(RECORD_STRIDE)
      kv.transact((tx) => {
        for (const { key } of this.reports) {
          for (let at = 0; key !== undefined && at < key.length; at += FRAME_BYTES) {
            const name = { link: 1, id: '0'.repeat(32), offset: at / 32 }, payload = key.subarray(at, at + FRAME_BYTES)
            const header = makeRecordHeader(RECORD_KIND.device, name, payload.length, 1, 1)
            tx.put(['frame', name.link, name.id, name.offset], record.subarray(0, vault.sealBytes(sealer, header, payload, record)))
          }
        }
      })
      await kv.flushed()
      this.storeMs = systemClock.monoMs() - startMs
    } finally {
      await kv.close()
      vault.zeroize()
      rmSync(folder, { recursive: true, force: true })
    }
  }

  work (act: () => PostOutput): void {
    const startMs = systemClock.monoMs(), { messages, blocks } = act()
    this.ms += systemClock.monoMs() - startMs
    this.out.push(...messages)
    this.reports.push(...blocks)
  }
}

const chainOnce = async (seed: number): Promise<{ readonly key: number, readonly durable: number }> => {
  const { config } = presetNamed('metro-25km')
  // 2 % QBER on a short fibre: what is measured is software.
  const link = {
    ...config, source: { ...config.source, preparationError: 0 },
    fibre: { ...config.fibre, lengthKm: 5 }, receiver: { ...config.receiver, misalignment: 0.014, afterpulse: 0.01, darkPerDetector: 1e-6, deadTimeS: 0, jitterS: 0, gateS: 0 },
  }
  const options = { source: link.source, security: { secrecy: 1e-10, correctness: 1e-15 }, blockBits: 10_000_000, qberAbort: 0.08, correction: defaultCorrection }
  const secret = new SimRandom(seed).bytes(1_024), alice = new AliceSession(options, secret, new SimRandom(seed)), bob = new BobSession(options, secret)
  const source = new BurstSource(Xoshiro.seeded(seed), link), a = new Party(), b = new Party()
  while (a.reports.length < 1) {
    const burst = source.next(2e7)
    a.work(() => alice.prepare(burst.alice))
    b.work(() => bob.announce(burst.bob))
    while (a.out.length + b.out.length > 0) {
      for (const message of a.out.splice(0)) b.work(() => bob.receive(message))
      for (const message of b.out.splice(0)) a.work(() => alice.receive(message))
    }
  }
  const [mine] = a.reports, [theirs] = b.reports
  invariant(mine?.key !== undefined && theirs?.key !== undefined && equalBytes(mine.key, theirs.key), `both parties get key: ${mine?.reason}`)
  alice.close()
  bob.close()
  await a.store()
  await b.store()
  const { net } = mine.account
  return { key: net / Math.max(a.ms, b.ms) / 1e3, durable: net / Math.max(a.ms + a.storeMs, b.ms + b.storeMs) / 1e3 }
}

/** Detections to key at both parties, then to sealed and durable records of it, one core each: the slower one counts. */
export const chain = async ({ pairs }: Runs): Promise<Figure[]> => {
  const runs: Awaited<ReturnType<typeof chainOnce>>[] = []
  for (let i = 0; i < pairs; i++) runs.push(await chainOnce(i + 1))
  const note = 'decoy BB84 at 2 % QBER, blocks of 10^7 bits; sifting, Cascade, verification, amplification, tags; the slower party alone'
  return [
    valueFigure('detections to key, net', 'Mbit/s', runs.map(({ key }) => key), { atLeast: 10 }, note),
    valueFigure('  to durable key, net', 'Mbit/s', runs.map(({ durable }) => durable), { atLeast: 10 }, 'the same, and each party seals its key in frames and has them on disk'),
  ]
}
