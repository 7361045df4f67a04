import { presetNamed } from '../../sim/link/analysis/presets.js'
import { PostLink } from '../../sim/link/party/post-link.js'
import type { PostBlock, Tamper } from '../../sim/link/party/post-link.js'
import { defaultCorrection } from '../../src/post/options.js'
import type { Correction, PostOptions } from '../../src/post/options.js'

export const metro = presetNamed('metro-25km')

/** 0.8 million sifted bits: enough for key on this link, and a fraction of a second. */
export const postOptions = (correction: Correction = defaultCorrection, blockBits = 800_000): PostOptions => ({
  source: metro.config.source, security: { secrecy: 1e-9, correctness: 1e-12 }, blockBits, qberAbort: 0.08, correction,
})

/** Lets pulses fly until `count` blocks have ended. */
export const runBlocks = (link: PostLink, count: number, slots = 4e7): PostBlock[] => {
  const blocks: PostBlock[] = []
  for (let bursts = 0; blocks.length < count && bursts < 100; bursts++) {
    link.burst(slots)
    while (link.pump(32));
    blocks.push(...link.takeBlocks())
  }
  return blocks
}

export const newLink = (seed: number, tamper?: Tamper, correction?: Correction): PostLink =>
  new PostLink(metro.config, postOptions(correction), seed, tamper)
