/** The addon's part of one message of the relay: pads are changed, and the whole is tagged. */
import { loadNative, PAD_TAKEN, RECORD_STRIDE, type BlockHandle, type NativeVault } from '../src/device/native.js'
import { systemClock } from '../src/kernel/system-clock.js'
import { makeRecordHeader, RECORD_KIND } from '../src/store/record.js'
import { median, ratioFigure, type Figure, type Pair } from './figures.js'

const FRAMES = 16, FRAME_BYTES = 3_968, BYTES = FRAMES * FRAME_BYTES - 48 & ~7
const BATCH = 24
/** Until the compiler rests. */
const WARM_BATCHES = 20

const filled = (vault: NativeVault, key: ReturnType<NativeVault['newKey']>, epoch: ReturnType<NativeVault['newKey']>, number: number): BlockHandle => {
  const sealer = vault.createSealer(key, number), block = vault.createBlock(number, epoch, new Uint32Array(FRAMES).fill(FRAME_BYTES)), record = new Uint8Array(RECORD_STRIDE)
  for (let i = 0; i < FRAMES; i++) {
    const header = makeRecordHeader(RECORD_KIND.random, { link: 1, id: number.toString(16).padStart(32, '0'), offset: i }, FRAME_BYTES, 1, number)
    vault.loadFrame(block, i, key, record.subarray(0, vault.sealRandom(sealer, header, FRAME_BYTES, record)))
  }
  vault.dropSealer(sealer)
  return block
}

const timed = (run: () => void): number => {
  const startMs = systemClock.monoMs()
  run()
  return systemClock.monoMs() - startMs
}

/**
 * A batch of messages: pads are changed and the whole is tagged; as in a node on the way, the pads of each were opened just before. Beside each, in
 * changing order, a copy of as many bytes that were written just before. @returns bytes per microsecond, of the median of each.
 */
const batch = (vault: NativeVault): Pair => {
  const key = vault.newKey(), epoch = vault.newKey(), lane = vault.createLane(), pads = filled(vault, key, epoch, 1)
  const hashKey = vault.takeHashKey(pads, 0), tag = new Uint8Array(16), taken = new Uint32Array(PAD_TAKEN), data = new Uint8Array(BYTES)
  const from = Buffer.alloc(BYTES), to = Buffer.alloc(BYTES), oursMs: number[] = [], copyMs: number[] = []
  for (let i = 0; i < BATCH; i++) {
    const theirs = filled(vault, key, epoch, 100 + i), ours = filled(vault, key, epoch, 200 + i)
    vault.lanePush(lane, ours, 0, BYTES, true)
    from.fill(i)
    const copy = (): void => { copyMs.push(timed(() => { from.copy(to) })) }
    if (i % 2 === 0) copy()
    oursMs.push(timed(() => {
      vault.laneXor(lane, theirs, 0, data, taken)
      vault.tag(hashKey, pads, 16 * (i + 1), data, tag)
    }))
    if (i % 2 === 1) copy()
    vault.laneTrim(lane)
    for (const block of [theirs, ours]) vault.dropBlock(block)
  }
  vault.dropLane(lane)
  vault.dropBlock(pads)
  for (const handle of [key, epoch, hashKey]) vault.dropKey(handle)
  return { value: BYTES / median(oursMs) / 1_000, baseline: BYTES / median(copyMs) / 1_000 }
}

/** Against a copy of the same bytes in the same process. */
export const relayPads = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const vault = loadNative().createVault({ arenaBytes: 16 << 20, allowUnlockedMemory: true })
  for (let i = 0; i < WARM_BATCHES; i++) batch(vault)
  const runs = Array.from({ length: pairs }, () => batch(vault))
  return [ratioFigure('relay: pad and tag 62 KiB in the addon', 'MB/s', runs, loadNative().features.gf128.startsWith('vpclmul') ? 0.4 : 0.25, 'baseline: memcpy of as many bytes, in turns')]
}
