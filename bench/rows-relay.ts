/** The relay: through one node between as real processes, and the addon's part of one message. */
import { loadNative, RECORD_STRIDE, type BlockHandle, type NativeVault } from '../src/device/native.js'
import { stayAlive, systemClock } from '../src/kernel/system-clock.js'
import { makeRecordHeader, RECORD_KIND } from '../src/store/record.js'
import { ProcessNetwork } from '../sim/network/processes.js'
import type { Sample } from '../sim/network/live.js'
import type { Scenario } from '../sim/network/scenario.js'
import { ratioFigure, valueFigure, type Figure } from './figures.js'

const MEASURE_MS = 2_000
const STOCK_BYTES = 1_500_000_000
const LINK_STOCK_BYTES = 60_000_000, FILL_MS = 30_000

const scenario: Scenario = {
  name: 'bench', about: '', mode: 'processes', seconds: 1, seed: 1, kmes: ['a', 'b', 'c'], automatic: undefined, faults: [], load: { perSecond: 0, keys: 1, between: [] },
  links: [{ between: ['a', 'b'], rateBps: 400e6, qber: 0.02 }, { between: ['b', 'c'], rateBps: 400e6, qber: 0.02 }],
  relayed: [{ between: ['a', 'c'], paths: 1, hybrid: false, stockBytes: STOCK_BYTES }],
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => { const letGo = stayAlive(); systemClock.after(ms, () => { letGo(); resolve() }) })
const of = (samples: readonly Sample[], kme: string, what: string): number => samples.find((s) => s.kme === kme)?.pools[what.split(' ')[0]!]?.[what.split(' ')[1]!] ?? 0

/** The links' lanes get stock; then the devices bring only what pads of messages need, so that the cores are the relay's. */
const fill = async (network: ProcessNetwork): Promise<void> => {
  for (const endMs = systemClock.monoMs() + FILL_MS; systemClock.monoMs() < endMs; await pause(500)) {
    const stocks = (await network.sample()).flatMap(({ stock }) => Object.entries(stock).filter(([pool]) => !pool.startsWith('relay')).map(([, bytes]) => bytes))
    if (Math.min(...stocks) >= LINK_STOCK_BYTES) break
  }
  for (const { between: [a, b] } of scenario.links) await network.fault({ slow: [a, b], rate: '20M', at: 0 })
  await pause(2_000)
}

/** End-to-end key per second into the relayed pool of A and C over B, all three and both devices on this machine's cores. */
export const relay = async ({ pairs }: { readonly pairs: number }): Promise<Figure[]> => {
  const network = await ProcessNetwork.start(scenario)
  try {
    await network.ready()
    await fill(network)
    const rates: number[] = [], burns: number[] = []
    let before = await network.sample(), beforeMs = systemClock.monoMs()
    for (let i = 0; i < pairs; i++) {
      await pause(MEASURE_MS)
      const after = await network.sample(), afterMs = systemClock.monoMs()
      const grown = (kme: string, what: string): number => of(after, kme, what) - of(before, kme, what)
      const came = grown('c', 'relay:kme-a ingested')
      rates.push(came * 8 / (afterMs - beforeMs) / 1_000)
      // Both ends take blocks on their way, so each link carries both: half of what stands at its two ends together.
      const pads = (grown('a', 'kme-b relay') + grown('b', 'kme-a relay')) / 2 + (grown('b', 'kme-c relay') + grown('c', 'kme-b relay')) / 2
      if (came > 0) burns.push(pads / (came - grown('c', 'relay:kme-a confirmation')) / 2)
      before = after
      beforeMs = afterMs
    }
    return [
      valueFigure('relay through one node between', 'Mbit/s', rates, { atLeast: 150 }, 'three KMEs from stock, devices at 20 Mbit/s'),
      valueFigure('relay: bits burned per delivered bit and hop', 'bits', burns, { atMost: 1.02 }, '2 hops, tags and confirmation included'),
    ]
  } finally { await network.stop() }
}

// --- one message in the addon ------------------------------------------------------------------------------------------

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

/** A batch of messages: pads are changed and the whole is tagged. @returns microseconds each. */
const batch = (vault: NativeVault): number => {
  const key = vault.newKey(), epoch = vault.newKey(), lane = vault.createLane(), pads = filled(vault, key, epoch, 1)
  const hashKey = vault.takeHashKey(pads, 0), tag = new Uint8Array(16), taken = new Uint32Array(2), data = new Uint8Array(BYTES)
  const theirs = Array.from({ length: BATCH }, (_, i) => filled(vault, key, epoch, 100 + i)), ours = Array.from({ length: BATCH }, (_, i) => filled(vault, key, epoch, 200 + i))
  for (const block of ours) vault.lanePush(lane, block, 0, BYTES, true)
  const startMs = systemClock.monoMs()
  theirs.forEach((block, i) => {
    vault.laneXor(lane, block, 0, data, taken)
    vault.tag(hashKey, pads, 16 * (i + 1), data, tag)
  })
  const spentMs = systemClock.monoMs() - startMs
  vault.dropLane(lane)
  for (const block of [...theirs, ...ours, pads]) vault.dropBlock(block)
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
