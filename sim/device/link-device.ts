import type { NativeAddon, NativeFrameSource } from '../../src/device/native.js'
import { SIDE_STATE } from '../../src/device/native.js'
import { KmeError } from '../../src/kernel/errors.js'
import type { Cancel, Clock } from '../../src/kernel/time.js'
import { Dropped } from './dropped.js'
import type { Command, Side } from './faults.js'
import { parseRate, type DeviceOptions } from './options.js'
import { PhysicsSupply, type BlockNews } from './physics.js'
import { Pacer } from './pacer.js'
import { RingSide, type BlockShape } from './ring-side.js'
import { readState, writeState } from './state-file.js'

const TICK_MS = 5
const ATTACH_MS = 100
const PROGRESS_MS = 500
/** Frames that may be made and not yet written, at the highest rate; and written in one turn, per side. */
const WINDOW_FRAMES = 4_096
const FRAMES_PER_TURN = 256
/** A ring full for this long: new key blocks are dropped, newest first (docs/ring-format.md). */
const BLOCKED_MS = 2_000
const RESERVE_BLOCKS = 4_096
/** One-way BB84 gives no key above this error rate. */
const QBER_ABORT = 0.11
/** How far a device without memory goes back; what is known already counts as a repeat. */
const BLIND_RESEND_BLOCKS = 4

export interface Progress {
  readonly event: 'waiting' | 'attached' | 'progress' | 'block' | 'stopped'
  readonly [member: string]: unknown
}

/** The devices of one link: both ends get equal frames, each at the pace of its ring. */
export class LinkDevice {
  private readonly shape: BlockShape
  private readonly sides: { readonly name: 'a' | 'b', readonly ring: RingSide }[]
  private readonly sources: Readonly<Record<'a' | 'b', NativeFrameSource>>
  private readonly physics: PhysicsSupply | undefined
  private readonly pacer: Pacer
  private readonly dropped = new Dropped()
  private readonly firstBlock: number
  private reservedBlock: number
  private storedDurable: number
  private released = 0 // frames below this may be written
  private mode: 'run' | 'cut' | 'stall' = 'run'
  private qber: number
  private full = false
  private blockedSinceMs = Infinity
  private lostFrames = 0 // of a block that is not dropped whole yet
  private lastAttachMs = -Infinity
  private lastProgressMs = -Infinity
  private turnPlanned = false
  private physicsPlanned = false
  private stopped = false
  private cancels: Cancel[] = []
  private cancelStall: Cancel = () => {}

  /** @throws KmeError `CONFIG_INVALID` for a damaged state file. */
  constructor (private readonly options: DeviceOptions, addon: NativeAddon, private readonly clock: Clock, private readonly tell: (progress: Progress) => void) {
    this.shape = { frameBytes: options.frameBytes, blockFrames: options.blockFrames }
    // A generator serves both ends; key out of a link is two strings that happen to be equal.
    const first = addon.createFrameSource(options.seed)
    this.sources = { a: first, b: options.physics === undefined ? first : addon.createFrameSource() }
    this.physics = options.physics === undefined ? undefined : new PhysicsSupply(options.physics, clock, (news) => { this.onPhysicsBlock(news) })
    const state = options.statePath === undefined ? undefined : readState(options.statePath)
    const sameShape = state !== undefined && state.frameBytes === options.frameBytes && state.blockFrames === options.blockFrames
    // With a seed every block can be made again, so what is not durable is sent again. Fresh random bytes need fresh
    // names: behind everything reserved, or, without state, behind all earlier runs by the clock.
    const resend = options.seed !== undefined && (state === undefined || sameShape)
    this.firstBlock = resend ? state?.durableBlock ?? 0 : state?.reservedBlock ?? Math.round(clock.wallMs()) * 1_000
    this.reservedBlock = Math.max(this.firstBlock, state?.reservedBlock ?? 0)
    this.storedDurable = this.firstBlock
    this.qber = options.qberPpm / 1e6
    this.pacer = new Pacer(options.rateBps, options.frameBytes * 8, clock.monoMs())
    const paths = options.ringB === undefined ? [['a', options.ringA] as const] : [['a', options.ringA] as const, ['b', options.ringB] as const]
    this.sides = paths.map(([name, path]) => ({
      name,
      ring: new RingSide({
        addon, path, linkId: options.linkId, source: this.sources[name], shape: this.shape, firstBlock: this.firstBlock,
        ...(options.macKeyPath === undefined ? {} : { macKeyPath: options.macKeyPath }),
        skipDropped: (frame) => this.dropped.skip(frame),
        onSpace: () => { this.turn() },
      }, state?.epoch ?? 0),
    }))
    this.reserve()
  }

  start (): void { this.tick() }

  /** Writes nothing more, tells both ends that it is drained, keeps its state. */
  stop (): void {
    if (this.stopped) return
    this.stopped = true
    this.cancelStall()
    for (const cancel of this.cancels) cancel()
    this.physics?.stop()
    for (const { ring } of this.sides) { ring.beat(SIDE_STATE.drained); ring.detach() }
    this.keepState()
    this.tell({ event: 'stopped', ...this.stats() })
  }

  stats (): Record<string, unknown> {
    return {
      mode: this.mode, qber: this.qber, madeFrames: this.released, droppedFrames: this.dropped.frames,
      ...(this.physics === undefined ? {} : { physics: this.physics.stats() }),
      nextBlock: this.firstBlock + Math.floor(this.released / this.shape.blockFrames),
      sides: Object.fromEntries(this.sides.map(({ name, ring }) => [name, {
        attached: ring.attached, epoch: ring.epoch, waitingFrames: ring.waiting, durableBlock: ring.durableBlock,
        cursor: ring.cursor, ...ring.counts, ...(ring.lastError === '' ? {} : { error: ring.lastError }),
      }])),
    }
  }

  /** Carries out a command of the control socket; returns what is answered beside `ok`. */
  command (command: Command): Record<string, unknown> {
    switch (command.cmd) {
      case 'stats': return this.stats()
      case 'stop': setImmediate(() => { this.stop() }); return {}
      case 'rate': this.withoutPhysics(command.cmd); this.pacer.setRate(parseRate(command.rate), this.clock.monoMs()); return {}
      case 'noise': this.withoutPhysics(command.cmd); this.qber = command.qber; return { key: command.qber <= QBER_ABORT }
      case 'eve': this.eve(command.attack, command.share ?? 1); return {}
      case 'cut': this.cut(); return {}
      case 'resume': this.resume(); return {}
      case 'stall': this.stall(command.ms); return {}
      case 'overrun': this.withoutPhysics(command.cmd); return { dropped: this.overrun(command.frames) }
      case 'restart': this.restart(command.state); return {}
      case 'gap': this.each(command.side, (ring) => { ring.gap(command.frames) }); return {}
      case 'duplicate': this.each(command.side, (ring) => { ring.duplicate(command.frames) }); return {}
      case 'replay': this.each(command.side, (ring) => { ring.faults.replayBlocks = command.blocks }); return {}
      case 'test-data': this.each(command.side, (ring) => { ring.faults.testFrames = command.frames }); return {}
      case 'abort': this.each(command.side, (ring) => { ring.abortLastBlock(this.qberPpm()) }); return {}
      default: this.each(command.side, (ring) => { ring.faults.flaw = command.cmd; ring.faults.flawFrames = command.frames }); return {}
    }
  }

  private each (side: Side | undefined, act: (ring: RingSide) => void): void {
    for (const { name, ring } of this.sides) if (side === undefined || side === 'both' || side === name) act(ring)
  }

  private qberPpm (): number { return Math.round(this.qber * 1e6) }

  private resume (): void {
    this.cancelStall()
    this.mode = 'run'
    this.pacer.skip(this.clock.monoMs())
    this.physics?.setCut(false)
    this.physics?.skipTime()
  }

  /** A cut fibre: with physics it still gives dark counts, else nothing. */
  private cut (): void {
    if (this.physics === undefined) this.mode = 'cut'
    else this.physics.setCut(true)
  }

  private withoutPhysics (command: string): void {
    if (this.physics !== undefined) throw new KmeError('BAD_REQUEST', `"${command}" does not go with --physics, where rate and errors follow from the link; use "eve" or "cut"`)
  }

  private eve (attack: (Command & { cmd: 'eve' })['attack'], share: number): void {
    if (this.physics === undefined) throw new KmeError('BAD_REQUEST', '"eve" needs a device with --physics')
    this.physics.setEve(attack === 'none' ? undefined
      : attack === 'photon-number-splitting' ? { kind: attack, blocked: share } : attack === 'blinding' ? { kind: attack } : { kind: attack, share })
  }

  /** Every block says its QBER: with its key, or, where there is none, with a test frame. */
  private onPhysicsBlock ({ qber, keyBytes, reason }: BlockNews): void {
    this.qber = qber
    this.tell({ event: 'block', qber, keyBytes, ...(reason === undefined ? {} : { reason }) })
    if (keyBytes === 0) for (const { ring } of this.sides) ring.tellQber(this.qberPpm())
  }

  /** Whole key blocks out of the link, as far as there is room for them. */
  private releasePhysics (physics: PhysicsSupply, room: number): void {
    const { frameBytes, blockFrames } = this.shape
    for (let left = room; left >= blockFrames; left -= blockFrames) {
      const key = physics.takeKey(frameBytes * blockFrames)
      if (key === undefined) return
      const block = this.firstBlock + this.released / blockFrames
      this.sources.a.put(block, key.alice)
      this.sources.b.put(block, key.bob)
      key.alice.fill(0)
      key.bob.fill(0)
      this.released += blockFrames
    }
  }

  private stall (ms: number | undefined): void {
    this.cancelStall()
    this.mode = 'stall'
    if (ms !== undefined) this.cancelStall = this.clock.after(ms, () => { this.resume() })
  }

  private overrun (frames: number): number {
    const { blockFrames } = this.shape
    this.released += Math.ceil(frames / blockFrames) * blockFrames
    for (let more = true; more;) more = this.writeSides().written > 0
    const before = this.dropped.frames
    this.dropUnwritten()
    return this.dropped.frames - before
  }

  // Whole blocks that no side has begun, newest first: with everything behind the furthest side gone, that is all of them.
  private dropUnwritten (): void {
    const { blockFrames } = this.shape
    const furthest = Math.max(...this.sides.map(({ ring }) => ring.cursor))
    const from = Math.ceil(furthest / blockFrames) * blockFrames, to = Math.floor(this.released / blockFrames) * blockFrames
    this.drop(from, to)
  }

  private restart (withState: boolean): void {
    for (const { ring } of this.sides) {
      ring.detach()
      if (!withState) ring.forget(BLIND_RESEND_BLOCKS)
    }
    this.lastAttachMs = -Infinity
  }

  private tick (): void {
    if (this.stopped) return
    const nowMs = this.clock.monoMs()
    if (this.mode !== 'stall') {
      const own = this.mode === 'cut' ? SIDE_STATE.fault : this.physics === undefined && this.qber > QBER_ABORT ? SIDE_STATE.drained : SIDE_STATE.run
      for (const { ring } of this.sides) ring.beat(own)
      this.attachMissing(nowMs)
      this.runPhysics()
      this.release(nowMs)
      this.turn()
    }
    this.keepState()
    this.progress(nowMs)
    this.cancels = [this.clock.after(TICK_MS, () => { this.tick() })]
  }

  /** A turn of work, and more turns while there is more, between which everything else has its turn. */
  private runPhysics (): void {
    if (this.physics === undefined || this.stopped || this.physicsPlanned || this.mode !== 'run') return
    if (!this.sides.every(({ ring }) => ring.attached)) { this.physics.skipTime(); return }
    if (!this.physics.turn()) return
    this.physicsPlanned = true
    setImmediate(() => { this.physicsPlanned = false; this.runPhysics() })
  }

  private attachMissing (nowMs: number): void {
    if (nowMs - this.lastAttachMs < ATTACH_MS) return
    this.lastAttachMs = nowMs
    for (const { name, ring } of this.sides) {
      if (ring.attached) continue
      if (ring.attach()) this.tell({ event: 'attached', side: name, epoch: ring.epoch })
    }
  }

  /** New frames come only while both ends are there and the line is good. */
  private release (nowMs: number): void {
    const lives = this.mode === 'run' && (this.physics !== undefined || this.qber <= QBER_ABORT) && this.sides.every(({ ring }) => ring.attached)
    if (!lives) { this.pacer.skip(nowMs); return }
    const slowest = Math.min(...this.sides.map(({ ring }) => ring.cursor))
    // A side that comes back begins at its first block that is not durable.
    this.dropped.forgetBelow(Math.min(...this.sides.map(({ ring }) => ring.durableFrame)))
    const room = WINDOW_FRAMES - (this.released - slowest)
    if (this.physics !== undefined) {
      const kept = Math.max(0, Math.min(...this.sides.map(({ ring }) => ring.durableBlock)) - BLIND_RESEND_BLOCKS)
      this.sources.a.dropBelow(kept)
      this.sources.b.dropBelow(kept)
      this.releasePhysics(this.physics, room)
      this.reserve()
      return
    }
    if (this.options.rateBps === Infinity || !this.full) this.blockedSinceMs = Infinity
    else this.blockedSinceMs = Math.min(this.blockedSinceMs, nowMs)
    if (room > 0 && nowMs - this.blockedSinceMs <= BLOCKED_MS) this.released += this.pacer.take(nowMs, room)
    else if (this.options.rateBps !== Infinity) this.dropNew(nowMs)
    this.reserve()
  }

  /** The rings are full for too long, or the device's own memory is: what it makes now is lost, in whole blocks. */
  private dropNew (nowMs: number): void {
    const { blockFrames } = this.shape
    // The block that is begun is still finished.
    this.released = Math.ceil(this.released / blockFrames) * blockFrames
    this.lostFrames += this.pacer.take(nowMs, Number.MAX_SAFE_INTEGER)
    const frames = Math.floor(this.lostFrames / blockFrames) * blockFrames
    this.lostFrames -= frames
    this.drop(this.released, this.released + frames)
    this.released += frames
  }

  private drop (from: number, to: number): void {
    if (to <= from) return
    this.dropped.add(from, to)
    for (const { ring } of this.sides) ring.countDrops(to - from)
  }

  /** Block numbers are on disk before they are used. */
  private reserve (): void {
    const next = this.firstBlock + Math.ceil(this.released / this.shape.blockFrames) + WINDOW_FRAMES
    if (next <= this.reservedBlock) return
    this.reservedBlock = next + RESERVE_BLOCKS
    this.keepState(true)
  }

  private keepState (always = false): void {
    const { statePath } = this.options
    const durableBlock = Math.min(...this.sides.map(({ ring }) => ring.durableBlock))
    if (statePath === undefined || (!always && (durableBlock === this.storedDurable || (!this.stopped && this.clock.monoMs() - this.lastProgressMs < PROGRESS_MS)))) return
    this.storedDurable = durableBlock
    const epoch = Math.max(...this.sides.map(({ ring }) => ring.epoch))
    writeState(statePath, { reservedBlock: this.reservedBlock, durableBlock, epoch, ...this.shape })
  }

  private writeSides (): { written: number, asleep: boolean } {
    let written = 0, asleep = true
    this.full = false
    for (const { ring } of this.sides) {
      const done = ring.write(this.released, FRAMES_PER_TURN, this.qberPpm())
      written += done.written
      this.full ||= done.full
      asleep &&= done.asleep
    }
    return { written, asleep }
  }

  // At a set rate the tick is enough; at the highest rate it goes on as long as a ring has room, then sleeps on the bell.
  private turn (): void {
    if (this.stopped || this.mode !== 'run') return
    const { written } = this.writeSides()
    if (this.options.rateBps === Infinity) this.release(this.clock.monoMs())
    if (written === 0 || this.turnPlanned) return
    this.turnPlanned = true
    setImmediate(() => { this.turnPlanned = false; this.turn() })
  }

  private progress (nowMs: number): void {
    if (nowMs - this.lastProgressMs < PROGRESS_MS) return
    this.lastProgressMs = nowMs
    const waiting = this.sides.filter(({ ring }) => !ring.attached)
    this.tell(waiting.length > 0
      ? { event: 'waiting', for: waiting.map(({ name, ring }) => ({ side: name, error: ring.lastError })) }
      : { event: 'progress', ...this.stats() })
  }
}
