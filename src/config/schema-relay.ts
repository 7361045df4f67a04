import { Type } from '@sinclair/typebox'
import { entity, flag, group, integer, list } from './setting.js'

const relayPoolSchema = Type.Object({
  kme: entity('ID of the far KME. It must have this KME in its own list, with the same paths and hybrid.'),
  paths: integer('Each block comes over so many node-disjoint paths at once: no single KME between then knows it.', { minimum: 1, maximum: 8, default: 1 }),
  stockBytes: integer('Key to hold however little it is used; at most what the pools settings allow. More is held when more is used: two minutes of it, in both directions.', { minimum: 65_536, maximum: 68_719_476_736, default: 1_048_576, unit: 'bytes' }),
  hybrid: flag('Lay an ML-KEM-768 stream between the two KMEs over the relayed bits.', false),
}, { additionalProperties: false })

/** Blocks for KMEs without a link, relayed ahead of demand. */
export const relaySchema = group('Blocks for KMEs without a link to this one, relayed ahead of demand over others.', {
  pools: list('KMEs with which keys are shared over other KMEs. Beside a direct link, too: for requests that ask for it.', relayPoolSchema, { maxItems: 1_024 }),
  reserveBytes: integer('Of the key with a neighbour, so much stays for the SAEs of the two KMEs: the relay, of our own blocks and of others, takes none of it.', { minimum: 0, maximum: 1_073_741_824, default: 65_536, unit: 'bytes' }),
  jobs: integer('Blocks of one pool under way from here at once.', { minimum: 1, maximum: 256, default: 8 }),
  jobMs: integer('A block that is not confirmed by the far KME within this time is burned.', { minimum: 500, maximum: 120_000, default: 10_000, unit: 'ms' }),
})
