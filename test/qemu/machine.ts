/** A virtual machine and its serial line. Software emulation: it works wherever QEMU does. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Tools } from './packages.js'

export interface GuestEvent { readonly event: string, readonly [field: string]: unknown }

export interface MachineOptions {
  readonly image: string
  /** Writes to the image are forgotten when the machine ends. */
  readonly forget: boolean
  readonly memoryMb: number
  /** More arguments of QEMU, of the kernel, and of guest.js. */
  readonly devices: readonly string[]
  readonly kernelArgs: readonly string[]
  readonly guestArgs: readonly string[]
}

export class Machine {
  readonly events: GuestEvent[] = []
  /** Everything on the serial line and on QEMU's stderr, for a report of what went wrong. */
  log = ''
  readonly ended: Promise<void>
  private readonly child: ChildProcess
  private rest = ''
  private waiting: (() => void)[] = []
  private isOver = false
  private isGone = false

  constructor (tools: Tools, options: MachineOptions) {
    const kernelArgs = ['console=ttyS0', 'quiet', 'loglevel=3', 'panic=-1', 'reboot=t', 'root=/dev/nvme0n1', 'rw', 'init=/init', 'random.trust_cpu=on', 'tsc=reliable', 'no_timer_check', 'mitigations=off', 'init_on_alloc=0', ...options.kernelArgs, `qkme=${options.guestArgs.join(',')}`]
    this.child = spawn(tools.qemu, [
      '-M', 'q35,kernel-irqchip=off', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(options.memoryMb), '-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio', '-monitor', 'none',
      '-kernel', tools.kernel, '-append', kernelArgs.join(' '), ...options.devices,
      '-drive', `file=${options.image},if=none,id=disk,format=raw,cache=writeback${options.forget ? ',snapshot=on' : ''}`, '-device', 'nvme,drive=disk,serial=qkme',
    ], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => { this.hear(text) })
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => { this.log += text })
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => { this.log += String(error); this.gone(resolve) })
      this.child.once('exit', () => { this.gone(resolve) })
    })
  }

  /** The event of this name, or undefined if the machine ended without it. */
  async event (name: string): Promise<GuestEvent | undefined> {
    for (;;) {
      const found = this.events.find(({ event }) => event === name)
      if (found !== undefined || this.isOver) return found
      await new Promise<void>((resolve) => { this.waiting.push(resolve) })
    }
  }

  /** Takes the power away. */
  async cut (): Promise<void> {
    if (this.isGone) return
    this.child.kill('SIGKILL')
    await this.ended
  }

  private hear (text: string): void {
    this.log += text
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop() ?? ''
    for (const line of lines) {
      const at = line.indexOf('QKME {')
      if (at >= 0) this.take(line.slice(at + 5))
      if (line.includes('QKME-END')) this.over()
    }
    this.wake()
  }

  // A message of the kernel may fall into the middle of a line; then the line is only in the log.
  private take (text: string): void {
    try { this.events.push(JSON.parse(text) as GuestEvent) } catch { this.log += '(not understood)\n' }
  }

  private gone (resolve: () => void): void { this.isGone = true; this.over(); resolve() }
  private over (): void { this.isOver = true; this.wake() }
  private wake (): void { for (const resolve of this.waiting.splice(0)) resolve() }
}
