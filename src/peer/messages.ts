/**
 * Every message between two KMEs: code, schema, and whether it carries a Wegman-Carter tag. The bodies are
 * msgpackr maps. Untagged are only `hello`, which can only raise numbers, and the confirmation messages, which
 * the block's own tag authenticates (design 3.3, 6).
 */
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { BLOCKS_MAX, LAST_EPOCH } from '../pool/number-ranges.js'

const u32 = Type.Integer({ minimum: 0, maximum: 0xffff_ffff })
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const blockNumber = Type.Integer({ minimum: 0, maximum: BLOCKS_MAX })
const epochNumber = Type.Integer({ minimum: 0, maximum: LAST_EPOCH })
const bytes = (length: number) => Type.Uint8Array({ minByteLength: length, maxByteLength: length })
const entity = Type.String({ minLength: 1, maxLength: 64 })
const reason = Type.String({ maxLength: 200 })

/** A frame's name (link, device block id, offset in units of 32 bytes) and its payload's length. */
const frameName = Type.Object({
  link: u32, block: bytes(16), offset: u32, length: Type.Integer({ minimum: 1, maximum: 3968 }),
}, { additionalProperties: false })

export const purposes = ['app', 'auth', 'id'] as const
const purpose = Type.Union(purposes.map((p) => Type.Literal(p)))
/** Blocks of one class share a lane pair. Index 0 is the direct link. */
const lane = Type.Integer({ minimum: 0, maximum: 255 })

const cursor = Type.Object({ lane, index: count, offset: u32 }, { additionalProperties: false })

/** One column of a hello: what the sender knows of one side. */
const column = Type.Object({
  storeId: bytes(16), incarnation: count, nonce: bytes(16),
  /** Number of a clean stop, 0 when none is valid. */
  bye: count, byeCursor: Type.Array(cursor, { maxItems: 256 }),
  /** Lanes that the side owns: how many blocks it has opened. */
  horizons: Type.Array(Type.Object({ lane, index: count }, { additionalProperties: false }), { maxItems: 256 }),
  grant: count, highestBlock: blockNumber, highestAssociation: Type.Integer({ minimum: 0, maximum: 0xffff }),
  epochs: Type.Array(Type.Object({ epoch: epochNumber, check: bytes(16) }, { additionalProperties: false }), { maxItems: 4 }),
  /** The highest position used in the side's authentication lane. */
  padBlock: blockNumber, padOffset: u32,
  /** Outbox numbers: the last sent by the side, the last of its messages that was processed by the other. */
  lastSent: count,
  /** How often the side voided all stock of the pool: a greater number than we know voids it here too. */
  voids: count,
}, { additionalProperties: false })
export type Column = Static<typeof column>

/** KMEs from source to destination, both included. */
const tunnelPath = Type.Array(entity, { minItems: 2, maxItems: 33 })
const tunnelHop = Type.Integer({ minimum: 1, maximum: 32 })
export const TUNNEL_BYTES_MAX = 16_384
/** `probe` is answered by `ack`; `move` takes the session to another path; `end` closes it. */
export const tunnelKinds = ['data', 'ack', 'probe', 'move', 'end'] as const
/** unroutable: no such neighbour now; congested: a bound of the node was met; refused: the destination takes no such session; unknown: it has none of this number. */
export const tunnelFaults = ['unroutable', 'congested', 'refused', 'unknown'] as const
export type TunnelFaultReason = (typeof tunnelFaults)[number]

/** A relayed block is the xor of its shares, one for each disjoint path. */
export const SHARES_MAX = 8
/** On the way back. A path has as many hops as `tunnelHop` allows, so what comes from its last node always fits. */
const relayBackHop = Type.Integer({ minimum: 0, maximum: 32 })
const shareNumber = Type.Integer({ minimum: 0, maximum: SHARES_MAX - 1 })
const shareCount = Type.Integer({ minimum: 1, maximum: SHARES_MAX })
/** A share has up to four parts of up to 16 frames, each with a confirmation of its own. */
export const PART_FRAMES_MAX = 16
export const SHARE_PARTS_MAX = 4
export const SHARE_FRAMES_MAX = PART_FRAMES_MAX * SHARE_PARTS_MAX
const RELAYED_BYTES_MAX = SHARE_FRAMES_MAX * 3_968
/** A share holds at least something beside its confirmation. */
const shareBytes = Type.Integer({ minimum: 64, maximum: RELAYED_BYTES_MAX, multipleOf: 8 })
/** For each share those of its parts. */
const shareTags = Type.Array(Type.Array(bytes(16), { minItems: 1, maxItems: SHARE_PARTS_MAX }), { minItems: 1, maxItems: SHARES_MAX })
/** unroutable: the next node is no neighbour now; stock: no bits to spare; busy: too many jobs; forbidden: this node does not relay that; damaged: its records do not open; unknown: no such pool. */
export const relayFailures = ['unroutable', 'stock', 'busy', 'forbidden', 'damaged', 'unknown'] as const
export type RelayFailure = (typeof relayFailures)[number]

/** A relayed pool's class: paths, plus 128 if it is hybrid. */
const poolNumber = Type.Integer({ minimum: 1, maximum: 0xff })
/** A body within a body: `inPool` and its other members have room beside it. */
export const POOL_BODY_BYTES_MAX = 261_632

const lanePlace = Type.Object({ index: count, offset: u32 }, { additionalProperties: false })

/** A stretch of the sender's lane that serves as one-time pad, or is the bits themselves. */
const padPlace = Type.Object({ block: blockNumber, offset: u32, length: Type.Integer({ minimum: 8, maximum: 65_536, multipleOf: 8 }) }, { additionalProperties: false })

/** 0 and 0xffff mark pads of the relay and of grants (src/pool/claims.ts). */
const associationNumber = Type.Integer({ minimum: 1, maximum: 0xfffe })
/** A key as its ID names it. */
const keyPlace = Type.Object({ epoch: u32, block: blockNumber, place: Type.Integer({ minimum: 0, maximum: 8_191 }), length: Type.Integer({ minimum: 1, maximum: 1_024 }), association: associationNumber }, { additionalProperties: false })

/** They only rise, and one near the end of what a number holds would stop the pool for good (as src/pool/greeting.ts has it). */
const outboxNumber = Type.Integer({ minimum: 0, maximum: 2 ** 48 - 1 })
/** `first`: everything with a lower number is acknowledged or void, so that a gap before it is none. */
const sequenced = { seq: outboxNumber, first: Type.Boolean() }

export const messages = {
  hello: {
    code: 1, tagged: false, vital: true,
    /** `connection`: 16 fresh bytes that the channel itself adds, so that no two connections have the same session ID. */
    schema: Type.Object({
      kme: entity, mine: column, yours: Type.Union([column, Type.Null()]), saes: count, connection: Type.Optional(bytes(16)),
    }, { additionalProperties: true }),
  },
  propose: {
    code: 2, tagged: false, vital: true,
    schema: Type.Object({
      number: blockNumber, owner: entity, purpose, lane, epoch: epochNumber,
      frames: Type.Array(frameName, { minItems: 1, maxItems: 16 }), tag: bytes(16),
    }, { additionalProperties: false }),
  },
  confirm: {
    code: 3, tagged: false, vital: true,
    schema: Type.Object({
      number: blockNumber,
      result: Type.Union([Type.Literal('stored'), Type.Literal('missing'), Type.Literal('mismatch'), Type.Literal('refused')]),
      tag: Type.Union([bytes(16), Type.Null()]), missing: Type.Array(Type.Integer({ minimum: 0, maximum: 15 }), { maxItems: 16 }),
    }, { additionalProperties: false }),
  },
  stored: { code: 4, tagged: false, vital: true, schema: Type.Object({ number: blockNumber }, { additionalProperties: false }) },
  /** The proposer gives a proposal up for good: the frames are burned on both sides. */
  drop: {
    code: 5, tagged: true, vital: true,
    schema: Type.Object({ ...sequenced, frames: Type.Array(frameName, { minItems: 1, maxItems: 64 }) }, { additionalProperties: false }),
  },
  horizon: {
    code: 6, tagged: true, vital: true,
    schema: Type.Object({ lane, from: count, blocks: Type.Array(blockNumber, { minItems: 1, maxItems: 64 }) }, { additionalProperties: false }),
  },
  horizonAck: { code: 7, tagged: true, vital: true, schema: Type.Object({ lane, from: count, index: count, refused: Type.Array(blockNumber, { maxItems: 64 }) }, { additionalProperties: false }) },
  bye: {
    code: 8, tagged: true, vital: true,
    schema: Type.Object({ incarnation: count, bye: count, cursors: Type.Array(cursor, { maxItems: 256 }) }, { additionalProperties: false }),
  },
  byeAck: { code: 9, tagged: true, vital: true, schema: Type.Object({ bye: count }, { additionalProperties: false }) },
  /** After a clean stop: the owner wants to go on at its cursor. The looker strikes the bye, flushed, before it says yes. */
  resume: { code: 22, tagged: true, vital: true, schema: Type.Object({ bye: count }, { additionalProperties: false }) },
  resumeAck: { code: 23, tagged: true, vital: true, schema: Type.Object({ bye: count, accepted: Type.Boolean() }, { additionalProperties: false }) },
  grantAsk: { code: 10, tagged: true, vital: false, schema: Type.Object({ lane, blocks: Type.Integer({ minimum: 1, maximum: 1024 }) }, { additionalProperties: false }) },
  grant: { code: 11, tagged: true, vital: false, schema: Type.Object({ ...sequenced, grant: count, lane, blocks: Type.Array(blockNumber, { minItems: 1, maxItems: 1024 }) }, { additionalProperties: false }) },
  association: {
    code: 12, tagged: true, vital: false,
    schema: Type.Object({ ...sequenced, number: associationNumber, epoch: u32, master: entity, slaves: Type.Array(entity, { minItems: 1, maxItems: 64 }), removed: Type.Boolean() }, { additionalProperties: false }),
  },
  associationAck: { code: 13, tagged: true, vital: false, schema: Type.Object({ number: associationNumber, epoch: u32, accepted: Type.Boolean(), reason }, { additionalProperties: false }) },
  /** The owner: nothing more is cut from these blocks; `spent` says how much of each may have been named. */
  close: { code: 14, tagged: true, vital: false, schema: Type.Object({ ...sequenced, blocks: Type.Array(Type.Object({ number: blockNumber, spent: u32 }, { additionalProperties: false }), { minItems: 1, maxItems: 256 }) }, { additionalProperties: false }) },
  /** Either side: certainly never named in an answer, erased on both sides. */
  burn: { code: 15, tagged: true, vital: false, schema: Type.Object({ ...sequenced, blocks: Type.Array(blockNumber, { minItems: 1, maxItems: 256 }), cause: Type.String({ maxLength: 40 }) }, { additionalProperties: false }) },
  idEpoch: { code: 16, tagged: false, vital: true, schema: Type.Object({ epoch: epochNumber, block: blockNumber, check: bytes(16) }, { additionalProperties: false }) },
  idEpochAck: { code: 17, tagged: false, vital: true, schema: Type.Object({ epoch: epochNumber, check: bytes(16) }, { additionalProperties: false }) },
  /** The side that does not propose needs a new ID epoch: its association numbers are used up. */
  epochAsk: { code: 24, tagged: true, vital: false, schema: Type.Object({ epoch: u32 }, { additionalProperties: false }) },
  /** Once a connection: the app blocks that the sender owns, stored on both sides (`blocks`) or perhaps on one (`flying`). What one side lacks is void. */
  inventory: {
    code: 25, tagged: true, vital: false,
    schema: Type.Object({ highest: blockNumber, blocks: Type.Array(blockNumber, { maxItems: 40_000 }), flying: Type.Array(blockNumber, { maxItems: 1_024 }) }, { additionalProperties: false }),
  },
  /**
   * An operator voided keys that are not fetched yet (docs/operations.md): single ones by their places, all of an association, stretches of the
   * sender's lane; or keys of ID epochs are not secret any more. Durable, then acknowledged. `incident` names the operator's act at both
   * KMEs; `answers`: the last of the messages that answer a `voidAsk`.
   */
  voidKeys: {
    code: 26, tagged: true, vital: false,
    schema: Type.Object({
      ...sequenced, incident: bytes(16), reason, answers: Type.Boolean(),
      keys: Type.Array(keyPlace, { maxItems: 256 }),
      /** `own`: the number is of the sender's space: the master is there. */
      associations: Type.Array(Type.Object({ own: Type.Boolean(), epoch: u32, number: Type.Integer({ minimum: 1, maximum: 0xffff }) }, { additionalProperties: false }), { maxItems: 256 }),
      stretches: Type.Array(Type.Object({ from: lanePlace, to: lanePlace }, { additionalProperties: false }), { maxItems: 256 }),
      epochs: Type.Array(u32, { maxItems: 8 }),
      /** Keys of named grants over this pool, either way, by their key IDs. */
      ids: Type.Array(bytes(16), { maxItems: 256 }),
    }, { additionalProperties: false }),
  },
  /** Which keys of your lane did you give out between these moments of your clock (milliseconds since 1970)? They are void; until `voidKeys` answers, none of your keys opened by now is served here. */
  voidAsk: { code: 27, tagged: true, vital: false, schema: Type.Object({ ...sequenced, incident: bytes(16), reason, fromMs: count, toMs: count }, { additionalProperties: false }) },
  /** What an operator holds at the sender, as it is now: the pool ('' if not, or why), and links. Said again at each connection. */
  hold: { code: 28, tagged: true, vital: false, schema: Type.Object({ pool: reason, links: Type.Array(u32, { maxItems: 256 }) }, { additionalProperties: false }) },
  /**
   * Keys of the sender's master for slaves at the receiver, under one-time pads of the sender's lane (docs/multicast.md). `keys` are their IDs;
   * `data` has each key in whole units of 8 bytes, `pads` lie over it one after the other. `relayed`, `paths` and `hybrid` say how the keys
   * came about. Not in the outbox: what is not acknowledged in time is taken back.
   */
  namedGrant: {
    code: 40, tagged: true, vital: false,
    schema: Type.Object({
      number: count, master: entity, slaves: Type.Array(entity, { minItems: 1, maxItems: 32 }),
      relayed: Type.Boolean(), paths: Type.Integer({ minimum: 0, maximum: SHARES_MAX }), hybrid: Type.Boolean(),
      sizeBytes: Type.Integer({ minimum: 1, maximum: 1_024 }), keys: Type.Array(bytes(16), { minItems: 1, maxItems: 1_024 }),
      pads: Type.Array(padPlace, { minItems: 1, maxItems: 64 }), data: Type.Uint8Array({ minByteLength: 8, maxByteLength: 65_536 }),
    }, { additionalProperties: false }),
  },
  /** It is on disk there, or why not: its SAEs are refused; there is no room; void: its number is over. */
  namedGrantAck: { code: 41, tagged: true, vital: false, schema: Type.Object({ number: count, fault: Type.Union([Type.Literal(''), Type.Literal('refused'), Type.Literal('full'), Type.Literal('void')]) }, { additionalProperties: false }) },
  /** These grants are over, whether they came or not: everything of them is erased, and nothing of them is taken any more. `cut` are keys of the sender's lane that were cut for grants that failed: no slave gets them. */
  namedGrantEnd: { code: 42, tagged: true, vital: false, schema: Type.Object({ ...sequenced, numbers: Type.Array(count, { maxItems: 256 }), cut: Type.Array(keyPlace, { maxItems: 256 }) }, { additionalProperties: false }) },
  saes: { code: 18, tagged: true, vital: false, schema: Type.Object({ ...sequenced, generation: count, part: u32, parts: u32, saes: Type.Array(entity, { maxItems: 512 }) }, { additionalProperties: false }) },
  chainHead: { code: 19, tagged: true, vital: false, schema: Type.Object({ records: count, head: bytes(32) }, { additionalProperties: false }) },
  /** Everything up to this outbox number is processed and flushed. */
  acknowledge: { code: 20, tagged: true, vital: true, schema: Type.Object({ seq: outboxNumber }, { additionalProperties: false }) },
  /**
   * A piece of an end-to-end session between two KMEs, carried by the neighbours on its path (docs/relay-protocol.md). `hop` is
   * the receiver's place in `path`; `data` is numbered from 1 in each direction, and so is `move`; everything else has number 0. `bytes` is
   * never looked at on the way.
   */
  tunnel: {
    code: 32, tagged: true, vital: false,
    schema: Type.Object({
      path: tunnelPath, hop: tunnelHop, session: bytes(16), kind: Type.Union(tunnelKinds.map((kind) => Type.Literal(kind))),
      seq: count, ack: count, bytes: Type.Uint8Array({ maxByteLength: TUNNEL_BYTES_MAX }),
    }, { additionalProperties: false }),
  },
  /** To the source of a tunnel frame, back along its path: node `at` could not carry or take it, and the session is over. */
  tunnelFault: {
    code: 33, tagged: true, vital: false,
    schema: Type.Object({
      path: tunnelPath, hop: tunnelHop, session: bytes(16), at: entity, reason: Type.Union(tunnelFaults.map((fault) => Type.Literal(fault))),
    }, { additionalProperties: false }),
  },
  /** End to end only. A new ML-KEM-768 exchange (FIPS 203): the encapsulation key of the KME with the lower ID. */
  hybridOffer: { code: 34, tagged: true, vital: false, schema: Type.Object({ id: bytes(16), publicKey: bytes(1184) }, { additionalProperties: false }) },
  /** The ciphertext, and the answerer's check value of the secret. */
  hybridAnswer: { code: 35, tagged: true, vital: false, schema: Type.Object({ id: bytes(16), ciphertext: bytes(1088), check: bytes(32) }, { additionalProperties: false }) },
  /** The offerer's check value; null, from either end, when the other's did not fit: then both forget the exchange. */
  hybridConfirm: { code: 36, tagged: true, vital: false, schema: Type.Object({ id: bytes(16), check: Type.Union([bytes(32), Type.Null()]) }, { additionalProperties: false }) },
  /** End to end only, first of all: the source names a job, the paths of its shares, and how many bytes each has at most. The destination takes no others. */
  relayPlan: { code: 44, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), bytes: shareBytes, paths: Type.Array(tunnelPath, { minItems: 1, maxItems: SHARES_MAX }) }, { additionalProperties: false }) },
  /** End to end only: it is awaited, or not (a bound was met). */
  relayPlanned: { code: 45, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), awaited: Type.Boolean() }, { additionalProperties: false }) },
  /** Before any bit is spent: may a job of so many bytes come along this path? Each node sets its part aside for the job's time, and asks the next for what it can give. */
  relayAsk: { code: 46, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), path: tunnelPath, hop: tunnelHop, share: shareNumber, shares: shareCount, bytes: shareBytes }, { additionalProperties: false }) },
  /** Back along the path to the source: it may come, with at most so many bytes. */
  relayReady: { code: 47, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), path: tunnelPath, hop: relayBackHop, share: shareNumber, bytes: shareBytes }, { additionalProperties: false }) },
  /** Along the path: it will not come. What was set aside for it is free again. */
  relayCancel: { code: 53, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), path: tunnelPath, hop: tunnelHop, share: shareNumber }, { additionalProperties: false }) },
  /**
   * Bits of a block on their way over nodes without a common link (docs/relay-protocol.md). `pads` lie one after the other over the
   * bits, in the sender's lane with the receiver; `data` is empty on the first hop, where the pads are the bits themselves.
   */
  relay: {
    code: 48, tagged: true, vital: false,
    schema: Type.Object({
      job: bytes(16), path: tunnelPath, hop: tunnelHop, share: shareNumber, shares: shareCount,
      frames: Type.Array(Type.Integer({ minimum: 8, maximum: 3968, multipleOf: 8 }), { minItems: 1, maxItems: SHARE_FRAMES_MAX }),
      pads: Type.Array(padPlace, { minItems: 1, maxItems: 64 }),
      data: Type.Uint8Array({ maxByteLength: RELAYED_BYTES_MAX }),
    }, { additionalProperties: false }),
  },
  /** Back along the path, to the source of a job: node `at` could not take it on. Its bits are burned at every node that had them. */
  relayFailed: {
    code: 49, tagged: true, vital: false,
    schema: Type.Object({ job: bytes(16), path: tunnelPath, hop: relayBackHop, share: shareNumber, at: entity, cause: Type.Union(relayFailures.map((f) => Type.Literal(f))) }, { additionalProperties: false }),
  },
  /** End to end only. The destination has all shares of a job; a tag for each of their parts, by its last 48 bytes (as `propose`), and the hybrid exchange whose stream goes over them, or null. */
  relayArrived: { code: 50, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), tags: shareTags, exchange: Type.Union([bytes(16), Type.Null()]), challenge: bytes(16) }, { additionalProperties: false }) },
  /** End to end only. The source's tags: it has joined the shares, and the destination does now. */
  relayJoin: { code: 51, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), tags: shareTags }, { additionalProperties: false }) },
  /** End to end only. The job is given up; `wrong` are shares whose tag did not fit: their paths lie. */
  relayRefused: { code: 52, tagged: true, vital: false, schema: Type.Object({ job: bytes(16), wrong: Type.Array(shareNumber, { maxItems: 8 }), reason }, { additionalProperties: false }) },
  /** End to end only. Our hello for the pool of one class (paths, plus 128 if hybrid). Each end sends it once a connection, when it has that pool. `kept`: its configuration names the pool. */
  poolOpen: { code: 64, tagged: true, vital: true, schema: Type.Object({ pool: poolNumber, kept: Type.Boolean(), mine: column, yours: Type.Union([column, Type.Null()]), saes: count }, { additionalProperties: false }) },
  /** End to end only. A message of that pool: its code, and its body as it would stand in a frame of its own. Dropped if the pool is not open on both sides. */
  inPool: { code: 65, tagged: true, vital: true, schema: Type.Object({ pool: poolNumber, type: Type.Integer({ minimum: 1, maximum: 0xff }), body: Type.Uint8Array({ minByteLength: 1, maxByteLength: POOL_BODY_BYTES_MAX }) }, { additionalProperties: false }) },
  /** End to end only. The sender has no pool of that class with us, and takes none. */
  poolRefused: { code: 66, tagged: true, vital: false, schema: Type.Object({ pool: poolNumber, reason }, { additionalProperties: false }) },
  /** End to end only. The sender has given that pool up: its stock is void on both sides. */
  poolLeave: { code: 67, tagged: true, vital: false, schema: Type.Object({ pool: poolNumber, reason }, { additionalProperties: false }) },
  /** Announcements of the network's KMEs, and what serves to compare them (docs/relay-protocol.md, Packets). */
  linkState: { code: 60, tagged: true, vital: false, schema: Type.Object({ packet: Type.Uint8Array({ minByteLength: 2, maxByteLength: 32_768 }) }, { additionalProperties: false }) },
} as const satisfies Record<string, { code: number, tagged: boolean, vital: boolean, schema: TSchema }>

export type MessageName = keyof typeof messages
export type Body<N extends MessageName> = Static<(typeof messages)[N]['schema']>
