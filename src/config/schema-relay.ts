import { Type } from '@sinclair/typebox'
import { choice, entity, flag, group, integer, list } from './setting.js'

const hourMs = 3_600_000
const stockBytes = (description: string, byDefault: number) =>
  integer(description, { minimum: 65_536, maximum: 68_719_476_736, default: byDefault, unit: 'bytes' })

const relayPoolSchema = Type.Object({
  kme: entity('ID of the far KME. It must have this KME in its own list, with the same paths and hybrid, or accept pools by itself. Entries that differ in paths or hybrid are pools side by side; requests that demand nothing use the first.'),
  paths: integer('Each block comes over so many node-disjoint paths at once: no single KME between then knows it.', { minimum: 1, maximum: 8, default: 1 }),
  stockBytes: stockBytes('Key to hold however little it is used; at most what the pools settings allow. More is held when more is used: two minutes of it, in both directions.', 1_048_576),
  hybrid: flag('Lay an ML-KEM-768 stream between the two KMEs over the relayed bits.', false),
}, { additionalProperties: false })

/** Pools that nobody wrote down. */
const automaticSchema = group('Relayed pools that come and go by themselves. KMEs in between carry their bits as those of every other relayed pool.', {
  open: choice('When this KME opens a pool: never; onDemand, when an SAE asks for keys with an SAE of a KME that no pool reaches (503 until there is key); all, ahead of demand, with every KME of the network, the nearest first.', ['never', 'onDemand', 'all'], { default: 'never' }),
  accept: flag('Take pools that other KMEs open.', false),
  kmes: list('Only with these KMEs; empty: with every KME that has a certificate of the KME CA.', entity('KME ID.'), { maxItems: 4_096 }),
  paths: integer('Node-disjoint paths of the pools that this KME opens, if the request demands no more, and the least that it accepts.', { minimum: 1, maximum: 8, default: 1 }),
  hybrid: flag('The same for an ML-KEM-768 stream over the relayed bits.', false),
  stockBytes: stockBytes('As for the pools of the list.', 262_144),
  poolsMax: integer('Pools at once that came by themselves; further ones are refused.', { minimum: 1, maximum: 1_024, default: 32 }),
  idleMs: integer('A pool from which neither side takes a key for this time ends; its stock is burned at both.', { minimum: 10_000, maximum: 30 * 24 * hourMs, default: hourMs, unit: 'ms' }),
})

/** Tunnels carry the control channels of KMEs without a common link. */
const tunnelsSchema = group('What this KME carries for control channels of others, and how many of its own it keeps.', {
  sessions: integer('Control channels that end here.', { minimum: 1, maximum: 65_536, default: 1_024 }),
  queueBytes: integer('Bytes of others that may wait for one neighbour; at the bound pieces are dropped, and their sessions begin anew.', { minimum: 65_536, maximum: 268_435_456, default: 1_048_576, unit: 'bytes' }),
  sourceQueueBytes: integer('Of these, bytes of one source.', { minimum: 65_536, maximum: 268_435_456, default: 262_144, unit: 'bytes' }),
  queueAgeMs: integer('A piece that waits longer is dropped.', { minimum: 100, maximum: 60_000, default: 5_000, unit: 'ms' }),
  stallMs: integer('A session whose far end acknowledges nothing for this time is given up.', { minimum: 1_000, maximum: 120_000, default: 10_000, unit: 'ms' }),
})

/** Blocks for KMEs without a link, relayed ahead of demand. */
export const relaySchema = group('Blocks for KMEs without a link to this one, relayed ahead of demand over others.', {
  pools: list('KMEs with which keys are shared over other KMEs. Beside a direct link, too: for requests that ask for it.', relayPoolSchema, { maxItems: 1_024 }),
  automatic: automaticSchema,
  tunnels: tunnelsSchema,
  reserveBytes: integer('Of the key with a neighbour, so much stays for the SAEs of the two KMEs: the relay, of our own blocks and of others, takes none of it. At least a key of 8192 bits: the relay of a busy network would else take all of a link.', { minimum: 1_024, maximum: 1_073_741_824, default: 65_536, unit: 'bytes' }),
  jobs: integer('Blocks of one pool under way from here at once, at most; as many as go well are.', { minimum: 1, maximum: 256, default: 64 }),
  jobMs: integer('A block that is not confirmed by the far KME within this time is burned.', { minimum: 500, maximum: 120_000, default: 10_000, unit: 'ms' }),
})
