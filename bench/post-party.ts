/**
 * One party of a link for the measurement of the whole chain, as a process of its own: detections to key, and on to sealed and
 * durable records. `node dist/bench/post-party.js <alice|bob> <socket> <seed>` prints one JSON object; alice listens, bob connects.
 * What the detectors would have recorded is drawn beforehand; everything else that a device does per bit is counted.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { presetNamed } from '../sim/link/analysis/presets.js'
import { Xoshiro } from '../sim/link/chance/xoshiro.js'
import { BurstSource } from '../sim/link/party/burst.js'
import { SimRandom } from '../sim/random.js'
import { loadNative, RECORD_STRIDE } from '../src/device/native.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { systemRandom } from '../src/kernel/system-random.js'
import { AliceSession } from '../src/post/alice-session.js'
import { BobSession } from '../src/post/bob-session.js'
import { defaultCorrection } from '../src/post/options.js'
import type { BlockReport, PostOutput } from '../src/post/session.js'
import type { Burst } from '../src/post/sifted-block.js'
import { openLmdbKv } from '../src/store/lmdb.js'
import { makeRecordHeader, RECORD_KIND } from '../src/store/record.js'
import type { PartyFigures, PhaseFigures } from './post-chain.js'

const [role = '', path = '', seedText = '1'] = process.argv.slice(2), seed = Number(seedText)
const BLOCK_BITS = 10_000_000, SLOTS = 2e7, FRAME_BYTES = 3_968
/** Blocks before anything is measured (the compiler is busy for two or three), then to key, then to durable records. */
const WARM = 3, TO_KEY = 2, TO_DISK = 2, BLOCKS = WARM + TO_KEY + TO_DISK
/** More than goes to the store's journal, so that it is written like key. */
const JOURNALED_NOT = 262_144
const DETECTIONS = 1 // The type byte of what Bob says first of a burst (src/post/wire.ts).

const { config } = presetNamed('metro-25km')
// 2 % QBER on a short fibre: what is measured is software.
const link = {
  ...config, source: { ...config.source, preparationError: 0 },
  fibre: { ...config.fibre, lengthKm: 5 }, receiver: { ...config.receiver, misalignment: 0.014, afterpulse: 0.01, darkPerDetector: 1e-6, deadTimeS: 0, jitterS: 0, gateS: 0 },
}
const options = { source: link.source, security: { secrecy: 1e-10, correctness: 1e-15 }, blockBits: BLOCK_BITS, qberAbort: 0.08, correction: defaultCorrection }

/** This party's records, enough for all blocks. */
const drawBursts = (): Burst[] => {
  const source = new BurstSource(Xoshiro.seeded(seed), link), bursts: Burst[] = []
  for (let detections = 0; detections < 1.5 * BLOCK_BITS * BLOCKS;) {
    const { alice, bob } = source.next(SLOTS)
    bursts.push(role === 'alice' ? alice : bob)
    detections += alice.records.length
  }
  return bursts.reverse()
}

/** Key as a KME keeps it: sealed frames in its store. */
const openStore = async (): Promise<{ put (key: Uint8Array): Promise<void>, close (): Promise<void> }> => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-chain-')), vault = loadNative().createVault({ arenaBytes: 1_048_576, allowUnlockedMemory: true })
  const kv = await openLmdbKv({ folder, mapBytes: 2 ** 30, reserveBytes: 0 }), sealer = vault.createSealer(vault.newKey(), 1), record = new Uint8Array(RECORD_STRIDE)
  kv.transact((tx) => { tx.put(['warm'], new Uint8Array(JOURNALED_NOT)) })
  await kv.flushed()
  let frames = 0
  return {
    put: (key) => {
      kv.transact((tx) => {
        for (let at = 0; at < key.length; at += FRAME_BYTES) {
          const name = { link: 1, id: '0'.repeat(32), offset: frames++ }, payload = key.subarray(at, at + FRAME_BYTES)
          const header = makeRecordHeader(RECORD_KIND.device, name, payload.length, 1, 1)
          tx.put(['frame', name.link, name.id, name.offset], record.subarray(0, vault.sealBytes(sealer, header, payload, record)))
        }
      })
      return kv.flushed()
    },
    close: async () => {
      await kv.close()
      vault.zeroize()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const open = async (): Promise<Socket> => {
  if (role === 'alice') {
    return new Promise((resolve) => {
      const server = createServer((socket) => {
        server.close()
        resolve(socket)
      }).listen(path)
    })
  }
  for (;;) {
    const socket = connect(path), connected = await new Promise<boolean>((resolve) => { socket.once('connect', () => { resolve(true) }).once('error', () => { resolve(false) }) })
    if (connected) return socket
    await sleep(50)
  }
}

/** Cuts a stream into messages: each has its length before it. */
const eachMessage = (socket: Socket, take: (message: Uint8Array) => void): void => {
  let parts: Buffer[] = [], bytes = 0
  socket.on('data', (data: Buffer) => {
    parts.push(data)
    bytes += data.length
    // A long message is put together once.
    if (parts.length > 1 && (parts[0]!.length < 4 || bytes < 4 + parts[0]!.readUInt32LE())) return
    let all = parts.length === 1 ? data : Buffer.concat(parts), at = 0
    while (all.length - at >= 4 && all.length - at - 4 >= all.readUInt32LE(at)) {
      const end = at + 4 + all.readUInt32LE(at)
      take(all.subarray(at + 4, end))
      at = end
    }
    all = all.subarray(at)
    parts = all.length === 0 ? [] : [all]
    bytes = all.length
  })
}

const bursts = drawBursts(), preShared = new SimRandom(seed).bytes(1_024)
const alice = role === 'alice' ? new AliceSession(options, preShared, systemRandom) : undefined
const bob = alice === undefined ? new BobSession(options, preShared) : undefined
const session = (alice ?? bob)!, store = await openStore(), socket = await open(), keys = createHash('sha256')
let ended = 0, sifted = 0, waitingBits = 0, openBursts = 0, phase: { cpu: NodeJS.CpuUsage, atMs: number, netBits: number } | undefined
const flushes: Promise<void>[] = [], phases: PhaseFigures[] = []

const endPhase = (): void => {
  if (phase !== undefined) {
    const { user, system } = process.cpuUsage(phase.cpu)
    phases.push({ netBits: phase.netBits, cpuMs: (user + system) / 1_000, wallMs: systemClock.monoMs() - phase.atMs })
  }
  phase = { cpu: process.cpuUsage(), atMs: systemClock.monoMs(), netBits: 0 }
}

const finish = async (): Promise<void> => {
  await Promise.all(flushes)
  endPhase()
  await store.close()
  session.close()
  const figures: PartyFigures = { phases, keys: keys.digest('hex') }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  socket.end()
}

const onBlock = ({ key, reason, account }: BlockReport): void => {
  if (key === undefined) throw new Error(`a block without key: ${reason}`)
  keys.update(key)
  if (phase !== undefined) phase.netBits += account.net
  ended += 1
  if (ended > WARM + TO_KEY) flushes.push(store.put(key))
  if (ended === WARM || ended === WARM + TO_KEY) endPhase()
  if (ended === BLOCKS) void finish()
}

const work = (act: () => PostOutput): void => {
  const { messages, blocks } = act()
  socket.cork()
  for (const message of messages) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(message.length)
    socket.write(length)
    socket.write(message)
  }
  socket.uncork()
  if (session.waitingBits < waitingBits) sifted += 1
  waitingBits = session.waitingBits
  blocks.forEach(onBlock)
}

/** The next block is sifted while one is corrected; more than one is not kept waiting. */
const announce = (): void => {
  while (bob !== undefined && openBursts < 2 && sifted - ended < 2 && sifted < BLOCKS) {
    openBursts += 1
    const burst = bursts.pop()!
    work(() => bob.announce(burst))
  }
}

const TEST_ERRORS = 4 // Ends a burst.
eachMessage(socket, (message) => {
  if (alice !== undefined && message[0] === DETECTIONS) {
    const burst = bursts.pop()!
    work(() => alice.prepare(burst))
  }
  work(() => session.receive(message))
  if (message[0] === TEST_ERRORS) openBursts -= 1
  announce()
})
announce()
