/** Processes under test, each on a core of its own. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Ended with the thread that started them, whatever that dies of: `timeout -k`, a bug. */
const WITH_US = ['setpriv', '--pdeathsig', 'KILL'] as const

/** Every part that was started and not stopped. */
const running = new Set<Part>()
export const stopParts = async (): Promise<void> => { await Promise.all([...running].map((part) => part.stop())) }

export class Part {
  private constructor (private readonly child: ChildProcess, readonly logFile: string) {}

  /** Starts Node pinned to a core; output goes to a file. It does not outlive this process. */
  static start (core: number, args: readonly string[], logFile: string): Part {
    const log = openSync(logFile, 'a')
    const [command, ...before] = WITH_US
    const child = spawn(command, [...before, 'taskset', '-c', `${core}`, process.execPath, ...args], { stdio: ['ignore', log, log] })
    closeSync(log)
    const part = new Part(child, logFile)
    running.add(part)
    child.once('exit', () => { running.delete(part) })
    return part
  }

  get pid (): number { return this.child.pid! }
  get running (): boolean { return this.child.exitCode === null && this.child.signalCode === null }
  get log (): string { return readFileSync(this.logFile, 'utf8') }

  /** Moves all its threads. */
  moveTo (core: number): void { execFileSync('taskset', ['-a', '-cp', `${core}`, `${this.pid}`], { stdio: 'ignore' }) }

  /** Anonymous plus locked memory in bytes: mapped pages of the store are the page cache's. */
  memoryBytes (): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
    return (kib('RssAnon') + kib('VmLck')) * 1_024
  }

  async stop (): Promise<void> {
    if (!this.running) return
    this.child.kill('SIGTERM')
    for (let i = 0; i < 100 && this.running; i++) await sleep(50)
    if (this.running) this.child.kill('SIGKILL')
  }
}

/** Asks until there is an answer. @throws Error with `tail` after `timeoutMs`. */
export const until = async <T>(what: string, timeoutMs: number, ask: () => Promise<T | undefined> | T | undefined, tail: () => string = () => ''): Promise<T> => {
  for (let leftMs = timeoutMs; leftMs > 0; leftMs -= 50) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await sleep(50)
  }
  throw new Error(`${what}: not within ${timeoutMs} ms\n${tail()}`)
}

/** Load of the machine over the last minute. */
export const loadAverage = (): number => Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])

export const coreCount = (): number => readdirSync('/sys/devices/system/cpu').filter((name) => /^cpu\d+$/.test(name)).length

/** Time for which the hypervisor ran something else although a processor of ours had work, over all of them, since the start of the machine. */
export const stolenMs = (): number => Number(readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/)[8]) * 10
