import { join } from 'node:path'
import type { Config } from '../../config/schema.js'
import { leafPaths } from '../../crypto/pki-files.js'
import { KmeError } from '../../kernel/errors.js'
import { exitCodes } from '../exit-codes.js'
import { pause } from '../keep-alive.js'
import { grouped } from '../output.js'
import { exitAdvice, exitWords, type ChildExit } from './child.js'
import { sites, startCommand } from './folder.js'
import { hintLines } from './hints.js'
import { PoolWatch, type Look } from './levels.js'
import { Network } from './network.js'
import type { StartOptions } from './options.js'
import { saes } from './pki.js'
import { withOtherPorts } from './ports.js'
import { prepare, type Prepared, type World } from './prepare.js'
import { rateText } from './screen.js'
import { configFile } from './site-config.js'
import { exchangeKey, type Party, type TrialResult } from './trial.js'

const pollMs = 250, livePollMs = 1_000
/** A start on a slow, busy machine takes seconds; a minute means that something is wrong. */
const upForMs = 90_000
/** Time without a single new key after which the person is told where to look. */
const dryMs = 60_000
const requestTimeoutMs = 15_000
const logLines = 8

/** A part of the network ended although nobody asked it to. */
class PartEnded extends Error { constructor (readonly exit: ChildExit) { super(exit.name) } }

/** What the process tells a running start. */
export interface Ask {
  /** Resolves at the first Ctrl-C. */
  readonly stop: Promise<void>
  /** Called with the network as soon as there is one, for a second Ctrl-C or a bug. */
  readonly network: (network: Network) => void
}

/**
 * `npm start`: prepares, starts, shows pools filling, exchanges one key, and runs until asked to stop.
 *
 * @returns the exit code (src/cli/exit-codes.ts). A part that dies ends everything with that part's code.
 * @throws KmeError for what is wrong before anything runs.
 */
export const runStart = (options: StartOptions, world: World, ask: Ask): Promise<number> => {
  let isAsked = false
  void ask.stop.then(() => { isAsked = true })
  let mayReset = options.reset // Once: what an attempt made is gone on with by the next.
  return withOtherPorts(options, () => {
    const reset = mayReset
    mayReset = false
    return runOnce({ ...options, reset }, world, ask)
  }, () => isAsked, (text) => { world.screen.warn(text) })
}

const runOnce = async (options: StartOptions, world: World, ask: Ask): Promise<number> => {
  const { screen, clock } = world, prepared = await prepare(options, world)
  const network = new Network(prepared, clock)
  ask.network(network)
  let isOver = false, code: number = exitCodes.ok.code
  const asked = ask.stop.then(() => 'asked' as const)
  const died = network.ended.then((exit) => { if (!isOver) throw new PartEnded(exit) })
  died.catch(() => {}) // Seen by the race below, or the network is being stopped anyway.
  try {
    await Promise.race([live(options, world, prepared, network, () => isOver), died, asked])
  } catch (error) {
    code = error instanceof PartEnded ? tellPart(world, prepared, network, error.exit) : tellError(world, error)
  }
  isOver = true
  screen.line()
  screen.begin(`stopping the device, then the KMEs${options.once ? '' : ' (Ctrl-C again to force)'}`)
  const exits = await network.stop((exit) => { screen[endedWell(exit) ? 'done' : 'failed'](`${exit.name} ${endedWell(exit) ? 'stopped' : exitWords(exit)}`) })
  if (code === exitCodes.ok.code && !exits.every(endedWell)) code = exitCodes.failed.code
  screen.line(`Everything is kept in ${prepared.folder}; go on with it:  ${startCommand(prepared.folder, world.workingFolder)}`)
  return code
}

const live = async (options: StartOptions, world: World, prepared: Prepared, network: Network, isOver: () => boolean): Promise<void> => {
  const { screen, clock } = world, { configs, folder } = prepared
  const watches = [new PoolWatch(configs.a, configs.b.kme.id, clock), new PoolWatch(configs.b, configs.a.kme.id, clock)]
  screen.begin('starting kme-a and kme-b')
  network.startKmes()
  await waitUp(world, watches, isOver)
  if (isOver()) return
  for (const child of network.children) screen.done(`${child.name} runs (log: ${join(folder, `${child.name}.log`)})`)
  network.startDevice(options.rateBps, options.physics)
  screen.done(`QKD devices of link 1 run ${options.physics === undefined ? `at ${rateText(options.rateBps)}` : `on the simulated link ${options.physics}`} (log: ${join(folder, 'device.log')})`)
  screen.begin('pools filling (each KME may use half of what the link delivers)')
  await waitReady(world, watches, isOver)
  if (isOver()) return
  screen.done('both pools are ready')
  const [master, slave] = [saes.a[0], saes.b[0]]
  tellTrial(world, configs, await exchangeKey(party(folder, configs.a, master), party(folder, configs.b, slave), clock), master, slave)
  if (options.once || isOver()) return
  screen.line()
  for (const line of hintLines({ folder, workingFolder: world.workingFolder, configs, master, slave, physics: options.physics !== undefined })) screen.line(line)
  screen.line()
  screen.line('Running. Ctrl-C stops everything.')
  await showLevels(world, watches, isOver)
}

const waitUp = async ({ clock }: World, watches: readonly PoolWatch[], isOver: () => boolean): Promise<void> => {
  const untilMs = clock.monoMs() + upForMs
  while (!isOver()) {
    const healths = await Promise.all(watches.map((watch) => watch.health()))
    if (healths.every((health) => health?.live)) return
    if (clock.monoMs() > untilMs) throw new KmeError('INTERNAL', `the KMEs do not answer after ${upForMs / 1_000} seconds; their logs say how far they came`)
    await pause(clock, pollMs)
  }
}

const waitReady = async ({ clock, screen }: World, watches: readonly PoolWatch[], isOver: () => boolean): Promise<void> => {
  let best = 0, bestMs = clock.monoMs(), isTold = false
  while (!isOver()) {
    const looks = (await Promise.all(watches.map((watch) => watch.look()))).filter((look) => look !== undefined)
    if (isOver()) return
    if (looks.length > 0) screen.levels(looks)
    if (looks.length === watches.length && looks.every((look) => look.isReady)) return
    const stock = looks.reduce((sum, { stockKeys }) => sum + stockKeys, 0)
    if (stock > best) [best, bestMs] = [stock, clock.monoMs()]
    else if (!isTold && clock.monoMs() - bestMs > dryMs) {
      isTold = true
      screen.warn(`no new key for ${dryMs / 1_000} seconds; see the logs, or ask a KME: node dist/src/cli/qkme.js status --socket …`)
    }
    await pause(clock, pollMs)
  }
}

/** Bars towards the most that a pool holds; without a terminal only changes of state are told. */
const showLevels = async ({ clock, screen }: World, watches: readonly PoolWatch[], isOver: () => boolean): Promise<void> => {
  let states = ''
  while (!isOver()) {
    const looks = (await Promise.all(watches.map((watch) => watch.look()))).filter((look): look is Look => look !== undefined)
    if (isOver()) return
    const now = looks.map(({ name, state }) => `${name} ${state}`).join()
    if (screen.isTerminal || (states !== '' && now !== states)) screen.levels(looks.map((look) => ({ ...look, goalKeys: look.fullKeys })))
    states = now
    await pause(clock, livePollMs)
  }
}

const party = (folder: string, config: Config, saeId: string): Party => {
  const { certificate, key } = leafPaths(join(folder, 'pki'), 'sae', saeId, 'client')
  return {
    saeId,
    access: {
      url: new URL(`https://localhost:${config.rest.port}`), certificateFile: certificate, keyFile: key, caFile: join(folder, 'pki', 'kme-ca.crt'),
      kme: config.kme.id, timeoutMs: requestTimeoutMs,
    },
  }
}

const tellTrial = ({ screen }: World, configs: Prepared['configs'], result: TrialResult, master: string, slave: string): void => {
  if (!result.equal) throw new KmeError('INTERNAL', `the two SAEs got different keys for ${result.keyId}: this must never happen; please report it with the logs`)
  const { a, b } = configs
  screen.done(`first key: ${master} took it at ${a.kme.id}, ${slave} fetched it at ${b.kme.id}, and both are equal`)
  screen.line(`    status        ${grouped(result.storedKeys)} keys of ${result.keyBits} bits in stock at ${a.kme.id}`)
  screen.line(`    key_ID        ${result.keyId}`)
  screen.line(`    ${master.padEnd(13)} SHA-256 of the key begins ${result.fingerprintA}`)
  screen.line(`    ${slave.padEnd(13)} SHA-256 of the key begins ${result.fingerprintB}`)
}

const tellPart = ({ screen, workingFolder }: World, { folder }: Prepared, network: Network, exit: ChildExit): number => {
  const child = network.children.find(({ name }) => name === exit.name)
  screen.failed(`${exit.name} ${exitWords(exit)}`)
  for (const line of child?.lastLines(logLines) ?? []) screen.line(`    ${line}`)
  if (child !== undefined) screen.line(`  The whole log: ${child.logFile}`)
  const site = sites.find((name) => exit.name === `kme-${name}`)
  const advice = site === undefined ? '' : exitAdvice(exit.code, configFile(folder, site), (options) => startCommand(folder, workingFolder, options))
  if (advice !== '') screen.line(advice.replace(/^/gm, '  '))
  return exit.code === null || exit.code === 0 ? exitCodes.failed.code : exit.code
}

const tellError = ({ screen }: World, error: unknown): number => {
  screen.failed(error instanceof Error ? error.message : String(error))
  return exitCodes.failed.code
}

/** The device may be stopped before it listens for signals; it reserves its block numbers ahead, so that harms nothing. */
const endedWell = (exit: ChildExit): boolean => exit.code === 0 || (exit.name === 'device' && exit.signal === 'SIGTERM')
