/** Row of the whole chain: two parties as processes, one core each, in parallel. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { valueFigure, type Figure } from './figures.js'
import { Part, until } from './process.js'

/** What a party found between two blocks' ends. `cpuMs`: all its threads, kernel included. */
export interface PhaseFigures { readonly netBits: number, readonly cpuMs: number, readonly wallMs: number }
/** Detections to key; then to sealed and durable records. `keys`: a fingerprint of all of them. */
export interface PartyFigures { readonly phases: readonly PhaseFigures[], readonly keys: string }

const PARTY = join(dirname(fileURLToPath(import.meta.url)), 'post-party.js'), RUN_MS = 120_000

const runOnce = async (seed: number): Promise<readonly [PartyFigures, PartyFigures]> => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-chain-')), parts: Part[] = []
  try {
    const read = async (role: string, core: number): Promise<PartyFigures> => {
      const part = Part.start(core, [PARTY, role, join(folder, 'link.sock'), `${seed}`], join(folder, `${role}.log`))
      parts.push(part)
      await until(`${role} of the chain`, RUN_MS, () => part.running ? undefined : true, () => part.log)
      const last = part.log.trim().split('\n').at(-1) ?? ''
      if (!last.startsWith('{')) throw new Error(`${role} of the chain failed:\n${part.log}`)
      return JSON.parse(last) as PartyFigures
    }
    const both = await Promise.all([read('alice', 0), read('bob', 1)])
    if (both[0].keys !== both[1].keys) throw new Error('the parties have different keys')
    return both
  } finally {
    await Promise.all(parts.map((part) => part.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Net bits per processor time of the party that needs more of it, all its threads, the channel between the processes included; and the
 * net rate that came of it, in which a party also waits for the other and for the disk.
 */
export const chain = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const runs: Awaited<ReturnType<typeof runOnce>>[] = []
  for (let i = 0; i < pairs; i++) runs.push(await runOnce(i + 1))
  const rates = (phase: number, of: (figures: PhaseFigures) => number): number[] =>
    runs.map((parties) => Math.min(...parties.map(({ phases }) => phases[phase]!.netBits / of(phases[phase]!) / 1e3)))
  const note = 'decoy BB84 at 2 % QBER, blocks of 10^7 bits; sifting, Cascade, verification, amplification, tags, socket between two processes'
  const cpu = ({ cpuMs }: PhaseFigures): number => cpuMs, wall = ({ wallMs }: PhaseFigures): number => wallMs
  return [
    valueFigure('detections to key, net', 'Mbit/s', rates(0, cpu), { atLeast: 10 }, `${note}; per processor time of the slower party`),
    valueFigure('  to durable key, net', 'Mbit/s', rates(1, cpu), { atLeast: 10 }, 'the same, and each party seals its key in frames and has them on disk'),
    valueFigure('  elapsed, to key', 'Mbit/s', rates(0, wall), { atLeast: 10 }, 'per time that went by: both parties in parallel, one core each'),
    valueFigure('  elapsed, to durable key', 'Mbit/s', rates(1, wall), { atLeast: 10 }, 'the same'),
  ]
}
