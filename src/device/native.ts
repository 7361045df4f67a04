/**
 * The addon's contract and its only loader. Key bytes live behind handles in locked native memory;
 * JavaScript sees ciphertext, tags, IDs and, for the time of one answer, the JSON key container.
 * Handles are positive integers; 0 is never valid. A handle that is wrong throws `invariant violated`.
 */
import { createRequire } from 'node:module'
import { KmeError } from '../kernel/errors.js'
import type { DevicePortOptions, DeviceStreamOptions, NativeDevicePort, NativeDeviceStream } from './pci/native-pci.js'

/** 32 secret bytes in native memory (master, seal key, ID epoch key, hash key, derived key). */
export type KeyHandle = number & { readonly __handle: 'key' }
/** A subkey with an IV counter that starts at 0: exists once per seal key and start of the process. */
export type SealerHandle = number & { readonly __handle: 'sealer' }
/** A block of up to 16 frames whose plaintext is (partly) in the arena. */
export type BlockHandle = number & { readonly __handle: 'block' }
/** A cursor over leased stretches of blocks. Only moves forward. */
export type LaneHandle = number & { readonly __handle: 'lane' }

export interface VaultStats {
  readonly arenaBytes: number, readonly cellsTotal: number, readonly cellsUsed: number, readonly cellsPinned: number
  readonly keysUsed: number, readonly blocks: number, readonly lanes: number, readonly locked: boolean
  /** Random draws come from a seed: simulations only, never main. */
  readonly deterministic: boolean
}

/**
 * Opened fields of one key_ID, in `openKeyIds`' output, KEY_ID_FIELDS numbers per ID:
 * [0] index of the epoch that verified + 1 (0: none), [1] low 32 bits of the block's number, [2] place in units of 8 bytes,
 * [3] length in bytes, [4] association.
 */
export const KEY_ID_FIELDS = 5

/** `cut` and `serve` return the length of the JSON they wrote, or one of these. Nothing is consumed then. */
export const CUT_INSUFFICIENT = -1 // not enough is leased
export const CUT_NO_ROOM = -2 // `out` is too small

/**
 * What a cut tells besides, in `taken`, CUT_TAKEN numbers: [0] and [1] the halves of the block's number and [2] the place of the first key, [3] bytes
 * skipped at block ends in this call, and of the lane behind it [4] the leased bytes left (`laneLeft`), [5] the stretches that `laneTrim` would remove.
 */
export const CUT_TAKEN = 6
/** What is told of a pad, in `taken`: [0] and [1] the halves of the block's number, [2] the offset. */
export const PAD_TAKEN = 3
/** The number of the block from which something was taken. */
export const takenBlock = (taken: Uint32Array): number => taken[0]! + taken[1]! * 2 ** 32

/**
 * All key plaintext of a KME. Expected failures are plain Errors with a `code` of KmeErrorCode; every other Error is
 * `invariant violated: …`, a bug of the caller. Byte arguments are Uint8Arrays (or Buffers), borrowed for the call.
 * A byte of a block gets at most one purpose per process (a lease, a pad, a hash key, a derived key): a second one is refused.
 */
export interface NativeVault {
  stats (): VaultStats

  // --- keys -------------------------------------------------------------------------------------
  /** Creates a file of 32 random bytes, mode 0600, fsynced with its folder. Throws with code MASTER_KEY_WRONG (it exists), STORE_FULL, STORE_UNAVAILABLE. */
  createMasterKeyFile (path: string): void
  /** Reads a raw 32-byte key file straight into locked memory. Throws with code MASTER_KEY_MISSING (cannot be opened or read) / MASTER_KEY_WRONG (size, mode wider than 0600, owner neither this user nor root, symbolic link). */
  openMasterKeyFile (path: string): KeyHandle
  /** scrypt (RFC 7914) of a passphrase file's first line (without line end). N = 2^logN, logN 10 to 22, r 1 to 32, p 1 to 16, else code CONFIG_INVALID. The file is checked like a key file. */
  openMasterPassphraseFile (path: string, salt: Uint8Array, logN: number, r: number, p: number): KeyHandle
  newKey (): KeyHandle
  /** Takes 32 secret bytes that arose outside the vault (a key encapsulation) in. `bytes` are wiped, also if it throws. */
  takeKey (bytes: Uint8Array): KeyHandle
  /** HKDF-SHA-256 (RFC 5869), 32 bytes out. `info` has at most 255 bytes. */
  deriveKey (key: KeyHandle, salt: Uint8Array, info: string): KeyHandle
  /** AES-256-GCM under `kek`, random IV: IV 12 || ciphertext 32 || tag 16 = 60 bytes. */
  wrapKey (kek: KeyHandle, key: KeyHandle, aad: Uint8Array): Uint8Array
  /** Throws with code MASTER_KEY_WRONG if the tag does not verify. */
  unwrapKey (kek: KeyHandle, wrapped: Uint8Array, aad: Uint8Array): KeyHandle
  /** 16 bytes that identify a key without revealing it: HKDF without salt, info "qkme check". */
  keyCheck (key: KeyHandle): Uint8Array
  hmac (key: KeyHandle, data: Uint8Array): Uint8Array
  dropKey (key: KeyHandle): void

  // --- sealed records: header 64 || IV 12 || ciphertext || tag 16 (native/record.h) ----------------
  /** `start` is the number of this process start (u32); the IV is start || counter u64. */
  createSealer (key: KeyHandle, start: number): SealerHandle
  dropSealer (sealer: SealerHandle): void
  /** Seals `length` fresh random bytes (local pools) under a 64-byte record header; returns the record's length in `out`. */
  sealRandom (sealer: SealerHandle, header: Uint8Array, length: number, out: Uint8Array): number
  /** Seals bytes that came to JavaScript as bytes (file, serial and HTTP devices). The caller wipes `payload`. Returns the record's length in `out`. */
  sealBytes (sealer: SealerHandle, header: Uint8Array, payload: Uint8Array, out: Uint8Array): number
  /** Verifies a record without keeping its plaintext. `qkme store check`. */
  verifyRecord (key: KeyHandle, record: Uint8Array): boolean

  // --- blocks -------------------------------------------------------------------------------------
  /** A block's shape: 1 to 16 frames of 1 to 3968 bytes. Its key IDs have the low 32 bits of `number`, an integer below 2^53. `epoch` names the ID epoch key (0 for a block that is never named; it cannot be in a lane). Nothing is loaded yet. */
  createBlock (number: number, epoch: KeyHandle | 0, frameBytes: Uint32Array): BlockHandle
  /**
   * Opens a sealed record into the arena as frame `index`. Throws with code STORE_CORRUPT if it does not
   * authenticate or has another length than the shape says; ARENA_FULL if every cell is pinned.
   * Unpinned frames may be evicted (wiped) by a later loadFrame: check `frameLoaded` first.
   */
  loadFrame (block: BlockHandle, index: number, key: KeyHandle, record: Uint8Array): void
  /**
   * Loads those of the block's frames that a ring's drain or the relay sealed within the last second and that are in the arena still: no
   * record is opened for them. `names`: for each frame, `stride` bytes (28 and more) apart, link u32, offset u32, length u32, device block 16 bytes; little
   * endian. @returns how many frames of the block are loaded.
   */
  loadRecent (block: BlockHandle, names: Uint8Array, stride: number): number
  /** Gives a loaded frame of a block that is dropped next to what `loadRecent` finds: `header` (64 bytes, of its record) has its name. Its pins are forgotten. */
  keepRecent (block: BlockHandle, index: number, header: Uint8Array): void
  /** Wipes what nobody has taken of it within a second. Rings do so, too, at each beat. */
  sweepRecent (): void
  frameLoaded (block: BlockHandle, index: number): boolean
  /** Pins are counted, per frame. */
  pinFrame (block: BlockHandle, index: number): void
  unpinFrame (block: BlockHandle, index: number): void
  /** Wipes all its frames. Leases over it must be gone. */
  dropBlock (block: BlockHandle): void
  /**
   * Confirmation tag (design 3.3): k1, k2, k3 are the block's last 48 bytes; role 1 (proposer):
   * P(k1; 1 || m || rest) xor k2; role 2: P(k1; 2 || m || rest) xor k3. P: polynomial over GF(2^128),
   * reduction 0x87, bit length appended (native/gf128.h). The role stands there as 16 bytes: role u8, seven zeros,
   * length of m u64 little endian. All frames must be loaded. With `challenge` (16 bytes) the key of P is k1 xor challenge: whoever knows
   * the bits of the block, as nodes of a relay do, cannot say then how a change of them changes the tag.
   */
  confirmTag (block: BlockHandle, role: 1 | 2, m: Uint8Array, challenge?: Uint8Array): Uint8Array
  verifyConfirmTag (block: BlockHandle, role: 1 | 2, m: Uint8Array, tag: Uint8Array): boolean
  /** HKDF over `length` (at most 4096) bytes of the block at `offset`: ID epoch keys. May be repeated for the same bytes. */
  deriveFromBlock (block: BlockHandle, offset: number, length: number, info: string): KeyHandle

  // --- delivery -------------------------------------------------------------------------------------
  createLane (): LaneHandle
  dropLane (lane: LaneHandle): void
  /**
   * Adds a leased stretch [from, to) of bytes. Continues the last one if it is the same block and
   * `from` is its end; any other push ends that one for good. `last` says that `to` is the end of what can ever be cut
   * from the block, so that a key which does not fit any more skips to the next block; an empty stretch with `last`
   * says so of the one it continues. `from`, and `to` unless `last`, are multiples of 8; `to` is at most the block's
   * length - 48. The frames it covers are loaded, and are pinned.
   */
  lanePush (lane: LaneHandle, block: BlockHandle, from: number, to: number, last: boolean): void
  /** Leased bytes not yet cut. */
  laneLeft (lane: LaneHandle): number
  /** [block number, offset] of the next byte; [0, 0] when nothing is leased. */
  laneCursor (lane: LaneHandle): [number, number]
  /**
   * Removes stretches that are fully cut; returns how many. Frames that the cursor has passed were unpinned and wiped
   * by `cut` already (unless somebody else pins them); the frame in which a lease ended that may be extended stays in the cache.
   */
  laneTrim (lane: LaneHandle): number
  /**
   * Cuts `count` keys of `sizeBytes`, names them, writes `{"keys":[{"key_ID":"…","key":"…"<keyMembers>},…]<containerMembers>}`
   * as UTF-8 into `out`. The members are ready JSON with a leading comma (at most 8 KiB each), '', or undefined, which costs less. Each key starts at a
   * multiple of 8 bytes and takes its size rounded up to 8. `count` is 1 to 1024, `sizeBytes` 1 to 1024.
   * `taken` receives CUT_TAKEN numbers.
   * All or nothing, without yielding. @returns bytes written or CUT_*.
   */
  cut (lane: LaneHandle, count: number, sizeBytes: number, association: number,
    keyMembers: string | undefined, containerMembers: string | undefined, out: Uint8Array, taken: Uint32Array): number
  /**
   * Like `cut`, but the keys stay in the arena: a block of its own, pinned until `dropBlock`, key i at i times `sizeBytes` rounded up to 8,
   * all within 63,440 bytes. For keys whose answer must wait; `serve` writes it. `ids` receives 16 bytes for each key, `taken` as of `cut`.
   * @returns 0 if not enough is leased: nothing is consumed. @throws with code ARENA_FULL: the same.
   */
  holdKeys (lane: LaneHandle, count: number, sizeBytes: number, association: number, ids: Uint8Array, taken: Uint32Array): BlockHandle | 0
  /**
   * Writes held bytes [offset, offset + data.length) xor as many leased bytes at the lane's cursor (at most `laneRun`) into `data`: a
   * one-time pad that is spent. `taken` receives PAD_TAKEN numbers.
   */
  padHeld (lane: LaneHandle, held: BlockHandle, offset: number, data: Uint8Array, taken: Uint32Array): void
  /** Opens `count` (at most 1024) key IDs (36 characters each, joined without separator, any letter case) against up to 4 epochs. Tags are compared in constant time; a malformed ID verifies nowhere. @returns how many verified. */
  openKeyIds (epochs: Uint32Array, ids: string, count: number, out: Uint32Array): number
  /** Makes one key ID: tests, named grants. */
  makeKeyId (epoch: KeyHandle, block: number, place: number, lengthBytes: number, association: number): string
  /** The slave's side: writes the container for `count` keys. `blocks[i]`, `offsets[i]` (bytes), `lengths[i]`; frames must be loaded. IDs are emitted in lower case. */
  serve (count: number, ids: string, blocks: Uint32Array, offsets: Uint32Array, lengths: Uint32Array,
    keyMembers: string | undefined, containerMembers: string | undefined, out: Uint8Array): number
  /** Zeroes bytes in a way the compiler keeps. */
  wipe (bytes: Uint8Array): void

  // --- authentication between neighbours (Wegman-Carter) ---------------------------------------------
  /** Copies 16 bytes of a block as a hash key. May be repeated for the same bytes. */
  takeHashKey (block: BlockHandle, offset: number): KeyHandle
  /** tag = P(hashKey; data) xor pad, pad = 16 bytes of the block at `offset`. Writes 16 bytes to `out`. The pad is wiped in the arena and refused a second time. */
  tag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, out: Uint8Array): void
  /** Constant time. Spends the pad whatever the outcome; false also for a pad outside the block or spent before (the message names it). */
  verifyTag (hashKey: KeyHandle, block: BlockHandle, offset: number, data: Uint8Array, tag: Uint8Array): boolean

  // --- one-time pads of the relay --------------------------------------------------------------------
  /** Leased bytes that follow the lane's cursor in one block. */
  laneRun (lane: LaneHandle): number
  /**
   * First hop: takes `length` bytes (at most 3968 and `laneRun`) at the lane's cursor as the payload of a new sealed record. `taken`
   * receives PAD_TAKEN numbers. @returns the record's length in `out`.
   */
  laneSeal (lane: LaneHandle, sealer: SealerHandle, header: Uint8Array, length: number, out: Uint8Array, taken: Uint32Array): number
  /**
   * A hop between: `data` ^= the stretch of `block` at `offset` ^ as many bytes at the lane's cursor (at most `laneRun`). It removes
   * the sender's pad and adds ours in one step, so that `data` never holds key alone; both stretches are spent. `taken` as above.
   */
  laneXor (lane: LaneHandle, block: BlockHandle, offset: number, data: Uint8Array, taken: Uint32Array): void
  /** Last hop: seals `cipher` xor the pads [block, offset, length]… (1 to 8, one after the other) as a new record; the pads are spent. `keep`: `loadRecent` finds it. @returns the record's length in `out`. */
  sealPads (sealer: SealerHandle, header: Uint8Array, pads: Uint32Array, cipher: Uint8Array, out: Uint8Array, keep: boolean): number
  /** Joins shares of disjoint paths: seals the xor of `length` bytes of each of 1 to 8 blocks; they are spent. `keep` as above. @returns the record's length in `out`. */
  sealXor (sealer: SealerHandle, header: Uint8Array, blocks: Uint32Array, offsets: Uint32Array, length: number, out: Uint8Array, keep: boolean): number
  /**
   * Like `sealXor`, and over the xor lies the stream of (`exchange`, the frame's name in `header`): AES-256-CTR under
   * HKDF-SHA-256 of the exchange's key (native/vault/hybrid_stream.h). A name serves once per exchange: the caller sees to it.
   */
  sealHybrid (sealer: SealerHandle, header: Uint8Array, blocks: Uint32Array, offsets: Uint32Array, length: number, exchange: KeyHandle, out: Uint8Array): number
  /** Wipes everything: arena, keys. Every handle is invalid afterwards. */
  zeroize (): void
}

export const RECORD_STRIDE = 4096
export const RECORD_HEADER_BYTES = 64
export const FRAME_BYTES_MAX = 3968

/** Places in the `status` of a drain (Uint32Array of DRAIN_NUMBERS). */
export const DRAIN = {
  records: 0, // sealed records written to `out`
  repeats: 1, // exact repeats of a known name: counted, acknowledged, not stored
  refused: 2, // frames refused; the reasons are in `counters()` and the incidents
  more: 3, // 1: frames are waiting; 0: the consumer sleeps, the bell will ring
  quarantine: 4, // index into QUARANTINES
  fault: 5, // index into RING_FAULTS
  ticket: 6, // for `acknowledge`
  level: 7, // quarters of the ring that were waiting: 0 (under a half), 2, 3, 4 (full)
  incidents: 8, // waiting for `takeIncidents`
  incidentsLost: 9, // ever, because too many waited (low half)
  epoch: 10, // of the last frame (low half), and
  sequenceLow: 11, // up to which number of it everything was drained:
  sequenceHigh: 12, // what the device is told when this ticket is acknowledged
} as const
export const DRAIN_NUMBERS = 13
/** Bytes of a frame's header, and how many of the newest are kept. */
export const FRAME_HEADER_BYTES = 64
export const RECENT_HEADERS = 16
/** Per record in `meta`: record length, payload bytes, flags, QBER in 1e-6. */
export const META_NUMBERS = 4
export const DRAIN_RECORDS_MAX = 256
export const QUARANTINES = ['', 'other-bytes', 'replay', 'three-bad', 'stuck'] as const
/** Why a ring stopped for good: close it and open it again. */
export const RING_FAULTS = ['', 'bad-turn', 'region-lost', 'seal-failed'] as const
/** Bytes of one incident (native/ingest.h). */
export const INCIDENT_BYTES = 40
/** Places in the `health` of a tick (Uint32Array of 6). `beatAgeMs` is 2^32-1 if there never was one. */
export const TICK = { connected: 0, producerState: 1, beatAgeMs: 2, waiting: 3, fault: 4, pid: 5 } as const
export const TICK_NUMBERS = 6

export interface RingOptions {
  /**
   * memory: a sealed memfd, handed to the device over the Unix socket at `path` (the default; it cannot shrink).
   * file: a ring file at `path`, kept over restarts, with its bells behind the socket `path`.bell.
   * device: memory that exists already (a PCI resource file); it has no bell and is polled.
   * private: a sealed memfd for a producer in this process (`share`); `path` is for messages only. The device counts as
   * connected while the producer's state is not `absent`.
   */
  readonly kind?: 'memory' | 'file' | 'device' | 'private'
  readonly path: string
  readonly linkId: number
  /** kind device: the ring of this port, which may have an interrupt, instead of the memory at `path`. */
  readonly port?: NativeDevicePort
  /** Of a region that is made: a power of two from 8 to 262144. Default 4096 (16 MiB). */
  readonly slots?: number
  /** 32 bytes, the same over restarts; copied. Caller wipes it. */
  readonly fingerprintKey: Uint8Array
  /** Frames whose names and bytes are known again: a power of two, default 2^20 (32 MiB when full). */
  readonly rememberedFrames?: number
  /** File of 32 bytes, mode 0600: frames must carry an AES-GMAC under it. */
  readonly macKeyPath?: string
}

/** The reading side of a ring (native/ingest.h). JavaScript thread only. */
export interface NativeRingConsumer {
  /**
   * Takes at most 256 frames or 2 ms, checks and seals them. Record i is at out[i * RECORD_STRIDE], its four numbers at
   * meta[i * META_NUMBERS]; `status` receives DRAIN_NUMBERS numbers. Allocates nothing. Takes nothing while quarantined
   * or faulty, or when 64 batches are not acknowledged.
   * @returns the number of records.
   */
  drain (sealer: SealerHandle, keySlot: number, out: Uint8Array, meta: Uint32Array, status: Uint32Array): number
  /** Everything drained up to this ticket is durable: the device is told. */
  acknowledge (ticket: number): void
  /** A record that the store knows or has finished (64-byte header), oldest first, before the first drain. */
  remember (header: Uint8Array): void
  /** Ends a quarantine: an operator's decision. What waits in the ring then is discarded (counter `discardedFrames`). */
  resume (): void
  /** Descriptors for a producer in this process, which owns them from then on (`RingProducerOptions.shared`). */
  share (): RingShare
  /** Copies the newest RECENT_HEADERS frame headers, oldest first, 64 bytes each, checksum zero; returns how many. */
  recentHeaders (out: Uint8Array): number
  /** Moves waiting incidents out, oldest first, INCIDENT_BYTES each; returns how many. */
  takeIncidents (out: Uint8Array): number
  /** Heartbeat to the device; `health` receives TICK_NUMBERS numbers. Call about twice a second. */
  tick (health: Uint32Array): void
  counters (): Record<string, number>
  /** What the region's header and the last frame's header say: `qkme device`, tests, the witness of a rolled-back store. */
  header (): Record<string, number>
  /** Calls back on the event loop when frames wait after a sleep, or a device came or went. Lost wake-ups are impossible (native/ring.h). */
  start (onReady: () => void): void
  close (): void
}

/** File descriptors of a ring: its region and both bells. */
export interface RingShare { readonly region: number, readonly frames: number, readonly space: number }

export interface RingProducerOptions {
  /** The consumer's socket, a ring file, or a device's memory. */
  readonly path: string
  readonly linkId: number
  /** The new epoch is above this and above the region's. A device that keeps state gives its last one. */
  readonly epochAfter?: number
  readonly macKeyPath?: string
  /** A private ring of this process instead of `path`, which then is for messages. */
  readonly shared?: RingShare
}

/** What may be wrong with a generated frame. */
export const FLAWS = ['none', 'wrong-crc', 'torn', 'stuck-byte', 'stuck-line', 'other-bytes'] as const
/** Places in a plan (Float64Array of PLAN_NUMBERS): frames [first, first + count) of a key block of `frames` frames. */
export const PLAN = { block: 0, payloadBlock: 1, first: 2, count: 3, frames: 4, frameBytes: 5, flags: 6, qberPpm: 7, flaw: 8 } as const
export const PLAN_NUMBERS = 9
/** Places in the `state` of a producer (Float64Array of PRODUCER_NUMBERS). */
export const PRODUCER = {
  durable: 0, nextSequence: 1, epoch: 2, full: 3, consumerState: 4, consumerBeatAgeMs: 5, consumerGone: 6, waiting: 7,
} as const
export const PRODUCER_NUMBERS = 8
/** What a side says of itself in the ring. */
export const SIDE_STATE = { absent: 0, run: 1, drained: 2, fault: 3, retired: 4 } as const

/** Makes the payload of any frame from a seed (native/frame_source.h). */
export interface NativeFrameSource {
  readonly __source: 'frames'
  /** The bytes of a key block, instead of generated ones (a simulated link makes them). Copied; the caller wipes its own. */
  put (block: number, bytes: Uint8Array): void
  /** Wipes what was put in for blocks below. */
  dropBelow (block: number): void
}

/** The writing side of a ring: software devices and tests. Never waits. */
export interface NativeRingProducer {
  /** Completes and publishes one frame; false if the ring is full. Of `header` (64 bytes) flags, QBER, block id, time and offset count. */
  publish (header: Uint8Array, payload: Uint8Array): boolean
  /** Publishes bytes as they are, header first: what a broken device writes. */
  publishRaw (frame: Uint8Array): boolean
  /** Makes and publishes a stretch of frames; returns how many had room. */
  generate (source: NativeFrameSource, plan: Float64Array): number
  /** Heartbeat with this side's state; `state` receives PRODUCER_NUMBERS numbers. */
  state (state: Float64Array, own: number): void
  skipSequence (count: number): void
  repeatSequence (count: number): void
  countDrops (count: number): void
  /** What is durable at this KME as the device knows it, over all its regions: the low half of the epoch, and the sequence. */
  witness (epoch: number, sequence: number): void
  /** Calls back when a ring that was full has room again after `sleep`. */
  start (onSpace: () => void): void
  /** True: wait for the bell. False: there is room, or no bell. */
  sleep (): boolean
  close (): void
}

export interface NativeAddon {
  readonly features: { readonly crc32c: string, readonly gf128: string, readonly openssl: string }
  createVault (options: { arenaBytes: number, allowUnlockedMemory: boolean, seed?: Uint8Array }): NativeVault
  openRingConsumer (vault: NativeVault, options: RingOptions): NativeRingConsumer
  openRingProducer (options: RingProducerOptions): NativeRingProducer
  /** `seed`: 32 bytes; without it a fresh one from the system's random source. */
  createFrameSource (seed?: Uint8Array): NativeFrameSource
  /** Throws errors with code `RING_INVALID`: what, which device, what to do. */
  openDevicePort (options: DevicePortOptions): NativeDevicePort
  openDeviceStream (options: DeviceStreamOptions): NativeDeviceStream
  /**
   * Opens a terminal device for reading as a raw line (termios): nothing in the stream is changed, echoed or taken as a sign.
   *
   * @param baud 0 leaves the speed as it is.
   * @returns a descriptor that the caller closes. Throws an Error that says what is wrong with the line.
   */
  openSerialLine (path: string, baud: number): number
  /** Ends the process at once with this code: no thread is waited for, nothing is torn down, nothing written. As safe as a kill. */
  exitNow (code: number): never
}

let loaded: NativeAddon | undefined

/** @throws KmeError `ADDON_MISSING` saying what to install if the addon is not built or does not load. */
export const loadNative = (): NativeAddon => {
  if (loaded !== undefined) return loaded
  const require = createRequire(import.meta.url)
  try {
    // From dist/src/device/ and from src/device/ the addon is at the package root.
    loaded = require(import.meta.url.includes('/dist/') ? '../../../build/Release/qkme.node' : '../../build/Release/qkme.node') as NativeAddon
    return loaded
  } catch (cause) {
    throw new KmeError('ADDON_MISSING', 'the native addon is not built: install python3, make and g++ (apt-get install python3 make g++), then run: npm install', { cause })
  }
}
