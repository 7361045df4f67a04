/** The addon's part of one message of the relay: pads are changed, and the whole is tagged. */
import { loadNative, RECORD_STRIDE, type BlockHandle, type NativeVault } from '../src/device/native.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { makeRecordHeader, RECORD_KIND } from '../src/store/record.js'
import { ratioFigure, type Figure } from './figures.js'

const FRAMES = 16, FRAME_BYTES = 3_968, BYTES = FRAMES * FRAME_BYTES - 48 & ~7
const BATCH = 24

const filled = (vault: NativeVault, key: ReturnType<NativeVault['newKey']>, epoch: ReturnType<NativeVault['newKey']>, number: number): BlockHandle => {
  const sealer = vault.createSealer(key, number), block = vault.createBlock(number, epoch, new Uint32Array(FRAMES).fill(FRAME_BYTES)), record = new Uint8Array(RECORD_STRIDE)
  for (let i = 0; i < FRAMES; i++) {
    const header = makeRecordHeader(RECORD_KIND.random, { link: 1, id: number.toString(16).padStart(32, '0'), offset: i }, FRAME_BYTES, 1, number)
    vault.loadFrame(block, i, key, record.subarray(0, vault.sealRandom(sealer, header, FRAME_BYTES, record)))
  }
  vault.dropSealer(sealer)
  return block
}

/** A batch of messages: pads are changed and the whole is tagged. As in a node on the way, the pads of each were opened just before. @returns microseconds each. */
const batch = (vault: NativeVault): number => {
  const key = vault.newKey(), epoch = vault.newKey(), lane = vault.createLane(), pads = filled(vault, key, epoch, 1)
  const hashKey = vault.takeHashKey(pads, 0), tag = new Uint8Array(16), taken = new Uint32Array(2), data = new Uint8Array(BYTES)
  let spentMs = 0
  for (let i = 0; i < BATCH; i++) {
    const theirs = filled(vault, key, epoch, 100 + i), ours = filled(vault, key, epoch, 200 + i)
    vault.lanePush(lane, ours, 0, BYTES, true)
    const startMs = systemClock.monoMs()
    vault.laneXor(lane, theirs, 0, data, taken)
    vault.tag(hashKey, pads, 16 * (i + 1), data, tag)
    spentMs += systemClock.monoMs() - startMs
    vault.laneTrim(lane)
    for (const block of [theirs, ours]) vault.dropBlock(block)
  }
  vault.dropLane(lane)
  vault.dropBlock(pads)
  for (const handle of [key, epoch, hashKey]) vault.dropKey(handle)
  return spentMs * 1_000 / BATCH
}

const copies = (): number => {
  const from = Array.from({ length: BATCH }, () => Buffer.alloc(BYTES, 1)), to = Buffer.alloc(BYTES)
  const startMs = systemClock.monoMs()
  for (const bytes of from) bytes.copy(to)
  return (systemClock.monoMs() - startMs) * 1_000 / BATCH
}

/** Against a copy of the same bytes in the same process. */
export const relayPads = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const vault = loadNative().createVault({ arenaBytes: 16 << 20, allowUnlockedMemory: true })
  batch(vault)
  copies()
  const runs = Array.from({ length: pairs }, () => ({ value: BYTES / batch(vault), baseline: BYTES / Math.min(...Array.from({ length: 5 }, copies)) }))
  return [ratioFigure('relay: pad and tag 62 KiB in the addon', 'MB/s', runs, loadNative().features.gf128.startsWith('vpclmul') ? 0.4 : 0.25, 'baseline: memcpy of the same bytes')]
}
