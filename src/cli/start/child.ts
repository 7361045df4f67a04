import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../kernel/time.js'
import { exitCodes, type ExitCode } from '../exit-codes.js'

/** A log of the last starts that is longer than this is set aside as `.1`, replacing the one before. */
const logBytesMax = 16 * 1_048_576
const tailBytes = 16_384

/** A program of this project as its file; from dist/src/cli/start. */
export const script = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))

export interface ChildSpec {
  readonly name: string
  readonly folder: string
  /** Script and arguments for Node. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Which lines of its standard output go to the log; all, if left out. */
  readonly keepLine?: (line: string) => boolean
}

export interface ChildExit { readonly name: string, readonly code: number | null, readonly signal: NodeJS.Signals | null }

/**
 * One process of the trial network, in a process group of its own: Ctrl-C reaches only `npm start`, which stops the others in
 * order. Its output goes to `<folder>/<name>.log`.
 */
export class Child {
  readonly name: string
  readonly logFile: string
  readonly exited: Promise<ChildExit>
  exit: ChildExit | undefined
  private readonly process: ChildProcess
  private readonly logFrom: number

  constructor (spec: ChildSpec) {
    this.name = spec.name
    this.logFile = join(spec.folder, `${spec.name}.log`)
    if (existsSync(this.logFile) && statSync(this.logFile).size > logBytesMax) renameSync(this.logFile, `${this.logFile}.1`)
    const log = openSync(this.logFile, 'a', 0o600), pidFile = join(spec.folder, `${spec.name}.pid`)
    this.logFrom = statSync(this.logFile).size
    this.process = spawn(process.execPath, spec.args, { cwd: spec.folder, env: spec.env, detached: true, stdio: ['ignore', spec.keepLine === undefined ? log : 'pipe', log] })
    const { keepLine } = spec
    if (this.process.stdout !== null && keepLine !== undefined) {
      createInterface({ input: this.process.stdout }).on('line', (line) => { if (keepLine(line)) writeSync(log, `${line}\n`) })
    }
    if (this.process.pid !== undefined) writeFileSync(pidFile, `${this.process.pid}\n`)
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (this.exit !== undefined) return
        rmSync(pidFile, { force: true })
        closeSync(log)
        resolve(this.exit = { name: this.name, code, signal })
      }
      this.process.on('error', (error) => { writeSync(log, `cannot be started: ${error.message}\n`); end(null, null) })
      this.process.on('close', end) // After the last line of its output.
    })
  }

  /** Asks it to end and waits; after `graceMs` it is killed. */
  async stop (clock: Clock, graceMs: number): Promise<ChildExit> {
    this.signal('SIGTERM')
    const cancel = clock.after(graceMs, () => { this.signal('SIGKILL') })
    const exit = await this.exited
    cancel()
    return exit
  }

  signal (signal: NodeJS.Signals): void {
    if (this.exit === undefined) this.process.kill(signal)
  }

  /** The last lines that it wrote since this start, for people. */
  lastLines (count: number): string[] {
    const size = statSync(this.logFile).size, from = Math.max(this.logFrom, size - tailBytes)
    const bytes = Buffer.alloc(size - from), file = openSync(this.logFile, 'r')
    try { readSync(file, bytes, 0, bytes.length, from) } finally { closeSync(file) }
    return bytes.toString('utf8').split('\n').filter((line) => line.trim() !== '').slice(-count).map(readable)
  }
}

/** A JSON line of the log as words; anything else as it is. */
const readable = (line: string): string => {
  try {
    const { level, time, message, component, upMs: _up, kme: _kme, ...rest } = JSON.parse(line) as Record<string, unknown>
    const more = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ')
    return `${String(time).slice(11, 23)} ${String(level)} ${String(component)}: ${String(message)} ${more}`.slice(0, 400)
  } catch {
    return line.slice(0, 400)
  }
}

/** "ended with code 13 (store-corrupt: the store is damaged)" */
export const exitWords = ({ code, signal }: ChildExit): string => {
  if (signal !== null) return `was ended by ${signal}`
  if (code === null) return 'could not be started'
  const known: ExitCode | undefined = Object.values(exitCodes).find((entry) => entry.code === code)
  return `ended with code ${code}${known === undefined ? '' : ` (${known.name}: ${known.meaning})`}`
}

/** What to do about a KME that ended with this code, where more can be said than its own words say. `again`: the command for this folder. */
export const exitAdvice = (code: number | null, configFile: string, again: (options: string) => string): string => {
  switch (code) {
    case exitCodes.storeCorrupt.code:
      return `Look what is damaged:    node dist/src/cli/qkme.js store check --config ${configFile}\nOr begin anew without the stored keys:  ${again('--reset')}`
    case exitCodes.storeCopied.code: case exitCodes.masterKeyWrong.code: case exitCodes.masterKeyMissing.code: case exitCodes.storeNewer.code:
      return `Put the right files back, or begin anew without the stored keys:  ${again('--reset')}`
    case exitCodes.storeFull.code: return 'Free some space on this disk, or choose a folder on another one:  npm start -- --folder OTHER'
    case exitCodes.port.code: return `Take free ports:  ${again('--free-ports')}`
    case exitCodes.addon.code: return 'Build it:  npm install'
    case exitCodes.config.code: return `See every fault:  node dist/src/cli/qkme.js config check --config ${configFile}`
    default: return ''
  }
}
