import { pino, type DestinationStream, type Logger } from 'pino'
import { RepeatBound } from '../kernel/log-bound.js'
import {
  isLogLevel, securityCategories, severities,
  type Log, type LogFields, type LogLevel, type SecurityEvent, type Severity,
} from '../kernel/log.js'
import { Counters } from '../kernel/metrics.js'
import type { Clock } from '../kernel/time.js'
import { redact } from './log-redact.js'

type Line = { readonly component: string, readonly level: WrittenLevel, readonly message: string, readonly fields: Record<string, unknown> }
type WrittenLevel = Exclude<LogLevel, 'silent'>

const levelOf: Readonly<Record<Severity, WrittenLevel>> = { info: 'info', low: 'info', medium: 'warn', high: 'error', critical: 'fatal' }

/** Members that every line has; a field of that name would stand a second time in the JSON and could pose as it. */
const reserved = new Set(['level', 'time', 'upMs', 'kme', 'component', 'message'])

const ownNames = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.keys(fields).some((name) => reserved.has(name))
    ? Object.fromEntries(Object.entries(fields).map(([name, value]) => [reserved.has(name) ? `field_${name}` : name, value]))
    : fields

/** A level for a component that nobody has heard of yet is kept: it may come later. But not any number of them. */
const COMPONENTS_MAX = 200

export interface LogOptions {
  readonly clock: Clock
  /** Level of every component that has none of its own. */
  readonly level: LogLevel
  readonly levels?: Readonly<Record<string, LogLevel>>
  /** Stands in every line. */
  readonly kme: string
  /** Equal lines within this time are counted instead of written, but for the first. */
  readonly repeatMs?: number
  readonly destination: DestinationStream
}

export interface LogRoot {
  log (component: string): Log
  /** Levels in force; the default under the name `*`. */
  levels (): Record<string, LogLevel>
  /** Changes some levels at run time; `*` is the default. @throws Error naming what is not a level or one too many. */
  setLevels (levels: Readonly<Record<string, LogLevel>>): void
  /** Security events by category and severity, and lines by level, since the start. */
  readonly securityCounts: Counters<string>
  readonly lineCounts: Counters<WrittenLevel>
  /** Writes what is held back. */
  flush (): void
}

/** Writes JSON lines through pino. One for the process; parts get theirs by `log(component)` or `Log.child`. */
export const createPinoLog = (options: LogOptions): LogRoot => new PinoLogRoot(options)

class PinoLogRoot implements LogRoot {
  readonly securityCounts = new Counters<string>(securityCategories.flatMap((c) => severities.map((s) => `${c}/${s}`)))
  readonly lineCounts = new Counters<WrittenLevel>(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
  readonly #pino: Logger
  readonly #bound: RepeatBound<Line>
  readonly #levels = new Map<string, LogLevel>()
  readonly #ranks: Readonly<Record<string, number>> = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: Infinity }
  readonly #startMs: number

  constructor (options: LogOptions) {
    this.#startMs = options.clock.monoMs()
    this.#levels.set('*', options.level)
    for (const [component, level] of Object.entries(options.levels ?? {})) this.#levels.set(component, level)
    this.#pino = pino({
      level: 'trace', // Levels are ours: they differ by component and change at run time.
      base: { kme: options.kme },
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(options.clock.wallMs()).toISOString()}","upMs":${Math.round(options.clock.monoMs() - this.#startMs)}`,
      formatters: { level: (label) => ({ level: label }) },
    }, options.destination)
    this.#bound = new RepeatBound(options.clock, options.repeatMs ?? 10_000, (_kind, held, last) => {
      this.#write({ ...last, fields: { ...last.fields, repeated: held } })
    })
  }

  log (component: string): Log { return new PinoLog(this, component) }

  levels (): Record<string, LogLevel> { return Object.fromEntries(this.#levels) }

  setLevels (levels: Readonly<Record<string, LogLevel>>): void {
    const changes = Object.entries(levels)
    for (const [component, level] of changes) {
      if (!isLogLevel(level)) throw new Error(`not a log level: ${component}`)
    }
    const added = changes.filter(([component]) => !this.#levels.has(component)).length
    if (this.#levels.size + added > COMPONENTS_MAX) throw new Error(`levels for more than ${COMPONENTS_MAX} components`)
    for (const [component, level] of changes) this.#levels.set(component, level)
  }

  flush (): void { this.#bound.flush() }

  isOn (component: string, level: WrittenLevel): boolean {
    const least = this.#levels.get(component) ?? this.#levels.get('*') ?? 'info'
    return (this.#ranks[level] ?? 0) >= (this.#ranks[least] ?? 0)
  }

  /** Trace and debug are asked for by somebody who wants every line; above, equal lines are bounded. */
  take (line: Line): void {
    this.lineCounts.add(line.level)
    if (!this.isOn(line.component, line.level)) return
    const isBounded = line.level !== 'trace' && line.level !== 'debug' && line.level !== 'fatal'
    if (!isBounded || this.#bound.admit(`${line.component} ${line.level} ${line.message}`, line)) this.#write(line)
  }

  #write (line: Line): void {
    try {
      this.#pino[line.level]({ component: line.component, ...ownNames(line.fields) }, line.message)
    } catch {
      // A log that cannot be written must not take the service down; the loss shows in `lineCounts` against the collector's.
    }
  }
}

class PinoLog implements Log {
  constructor (private readonly root: PinoLogRoot, private readonly component: string) {}

  trace (message: string, fields?: LogFields): void { this.#line('trace', message, fields) }
  debug (message: string, fields?: LogFields): void { this.#line('debug', message, fields) }
  info (message: string, fields?: LogFields): void { this.#line('info', message, fields) }
  warn (message: string, fields?: LogFields): void { this.#line('warn', message, fields) }
  error (message: string, fields?: LogFields): void { this.#line('error', message, fields) }
  fatal (message: string, fields?: LogFields): void { this.#line('fatal', message, fields) }

  /** Written under the component `security`, so that a quiet component cannot silence it; the part stands in `from`. */
  security (e: SecurityEvent): void {
    this.root.securityCounts.add(`${e.category}/${e.severity}`)
    this.root.take({
      component: 'security', level: levelOf[e.severity], message: e.event,
      fields: { ...redact(e.fields), from: this.component, category: e.category, severity: e.severity, subject: e.subject.slice(0, 200), outcome: e.outcome },
    })
  }

  child (component: string): Log { return new PinoLog(this.root, component) }

  #line (level: WrittenLevel, message: string, fields: LogFields | undefined): void {
    // Asked first: what is not written is not copied either.
    const isOn = this.root.isOn(this.component, level)
    this.root.take({ component: this.component, level, message, fields: isOn ? redact(fields) : {} })
  }
}
