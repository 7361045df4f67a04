/** A child process of a test: its output in a file, its end as a promise, and nothing left over when the test ends. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { systemClock } from '../../src/kernel/system-clock.js'

const POLL_MS = 40

export const pause = (ms: number): Promise<void> => new Promise((resolve) => {
  const alive = setInterval(() => {}, 1 << 30) // Timers of the clock do not keep the process alive by themselves.
  systemClock.after(ms, () => { clearInterval(alive); resolve() })
})

/** Asks again and again until the answer is not undefined. @throws saying what did not come, with `more()` as evidence. */
export const eventually = async <T>(what: string, ask: () => T | undefined | Promise<T | undefined>, timeoutMs = 60_000, more: () => string = () => ''): Promise<T> => {
  const endMs = systemClock.monoMs() + timeoutMs
  for (;;) {
    const found = await ask()
    if (found !== undefined) return found
    if (systemClock.monoMs() > endMs) throw new Error(`within ${timeoutMs} ms did not come: ${what}\n${more()}`)
    await pause(POLL_MS)
  }
}

const living = new Set<ChildProcess>()
process.on('exit', () => { for (const child of living) child.kill('SIGKILL') })

/** How a process ended: its exit code, or the signal. */
export type End = number | NodeJS.Signals

export class Child {
  private child: ChildProcess | undefined
  private ended: Promise<End> = Promise.resolve(0)

  /** Output of every run is appended to `logFile`. */
  constructor (private readonly args: () => readonly string[], readonly logFile: string, private readonly folder: string) {}

  get pid (): number | undefined { return this.child?.pid }
  get running (): boolean { return this.child !== undefined }
  get log (): string { return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '' }

  start (): void {
    if (this.child !== undefined) throw new Error(`${this.logFile}: runs already`)
    const out = openSync(this.logFile, 'a', 0o600)
    const child = this.child = spawn(process.execPath, [...this.args()], { cwd: this.folder, stdio: ['ignore', out, out], env: { PATH: '/usr/bin:/bin' } })
    closeSync(out)
    living.add(child)
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        living.delete(child)
        if (this.child === child) this.child = undefined
        resolve(signal ?? code ?? -1)
      })
    })
  }

  signal (signal: NodeJS.Signals): void { this.child?.kill(signal) }

  /** Sends the signal and waits for the end. */
  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
    this.signal(signal)
    return this.ended
  }

  /** For the end of a test: SIGTERM, and SIGKILL if that is not enough. */
  async finish (): Promise<void> {
    if (this.child === undefined) return
    const cancel = systemClock.after(15_000, () => { this.signal('SIGKILL') })
    await this.stop()
    cancel()
  }
}
