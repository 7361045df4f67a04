/**
 * Two KMEs under load in both directions; one of them, at random, is killed at a random moment and started again, so many
 * times. `node dist/test/crash/campaign.js --kills 100` is the full campaign; `kill.test.ts` runs a short one.
 */
import { parseArgs } from 'node:util'
import type { AccountView } from '../../src/admin/port.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { eventually, pause } from '../e2e/process.js'
import { World, type Site } from '../e2e/world.js'
import { Ledger } from './ledger.js'
import { Pair } from './load.js'

export interface CampaignResult {
  readonly kills: number
  readonly keys: number
  readonly fetched: number
  readonly answers: number
  readonly faults: readonly string[]
  readonly accounts: Readonly<Record<Site, AccountView>>
  readonly seconds: number
}

const DELAY_MAX_MS = 1_500
/** Keys taken and fetched, at least. */
export const KEYS_MIN = 200

const strike = async (world: World): Promise<void> => {
  await pause(systemRandom.integer(DELAY_MAX_MS))
  const chance = systemRandom.integer(10)
  const victims: readonly Site[] = chance === 0 ? ['a', 'b'] : chance % 2 === 0 ? ['a'] : ['b']
  await Promise.all(victims.map(async (site) => { await world.kmes[site].stop('SIGKILL') }))
  await pause(systemRandom.integer(300))
  for (const site of victims) world.kmes[site].start()
  // Half of the kills hit a KME that still starts or resynchronises.
  if (systemRandom.integer(2) === 0) await world.ready(1)
}

/** What both KMEs say of themselves, for a failure. */
const evidence = async (world: World): Promise<string> => {
  const views = await Promise.all([world.kmes.a, world.kmes.b].flatMap((kme) => ['health', 'pools', 'peers', 'links', 'account'].map(async (what) =>
    `${kme.id} ${what} ${JSON.stringify(await kme.admin.get(`/v1/${what}`).catch(String))}`)))
  return [...views, world.kmes.a.tail(), world.kmes.b.tail()].join('\n')
}

/** Runs `kills` kills. `tell` gets a line now and then. */
export const campaign = async (kills: number, tell: (line: string) => void): Promise<CampaignResult> => {
  const startMs = systemClock.monoMs()
  const world = await World.create({ rate: '20M', pools: { maxKeyCount: 200_000 } })
  try {
    await world.start()
    const ledger = new Ledger()
    const at = (site: Site, n: number) => world.sae(world.saeIds[site][n]!, site)
    const pairs = ([['a', 0, 'b', 0], ['a', 1, 'b', 1], ['b', 0, 'a', 0], ['b', 1, 'a', 1]] as const)
      .map(([site, n, other, m]) => new Pair(at(site, n), at(other, m), ledger, 20))
    const stillLives = async (): Promise<void> => {
      const before = pairs.map((pair) => pair.answers)
      const isAlive = (): true | undefined => pairs.every((pair, i) => pair.answers > before[i]!) ? true : undefined
      await eventually('every master gets keys again', isAlive, 60_000).catch(async (cause: unknown) => {
        throw new Error(`answers of each pair ${before.join(', ')} -> ${pairs.map((pair) => pair.answers).join(', ')}\n${await evidence(world)}`, { cause })
      })
    }
    for (let i = 1; i <= kills; i++) {
      await strike(world)
      if (i % 10 === 0 || i === kills) {
        await stillLives()
        tell(`${i} kills: ${ledger.keys} keys, ${ledger.fetched} fetched, ${ledger.faults.length} faults`)
      }
    }
    await eventually('load enough for a verdict', () => ledger.keys > KEYS_MIN && ledger.fetched > KEYS_MIN ? true : undefined) // On a slow machine kills leave little time for it.
    await Promise.all(pairs.map((pair) => pair.stop()))
    await world.ready(1)
    const accounts = { a: await world.kmes.a.account(), b: await world.kmes.b.account() }
    return {
      kills, keys: ledger.keys, fetched: ledger.fetched, answers: pairs.reduce((sum, pair) => sum + pair.answers, 0), faults: ledger.faults, accounts,
      seconds: Math.round((systemClock.monoMs() - startMs) / 1_000),
    }
  } finally {
    await world.dispose()
  }
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({ options: { kills: { type: 'string', default: '100' } } })
  const result = await campaign(Number(values.kills), (line) => { process.stdout.write(`${line}\n`) })
  process.stdout.write(`${JSON.stringify({ ...result, faults: result.faults.slice(0, 20) }, undefined, 1)}\n`)
  const unaccounted = result.accounts.a.differenceBits !== 0 || result.accounts.b.differenceBits !== 0
  process.exitCode = result.faults.length > 0 || unaccounted ? 1 : 0
}

if (process.argv[1] === new URL(import.meta.url).pathname) await main()
