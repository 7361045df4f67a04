/**
 * The log as every part of qkme sees it: JSON lines with a component, a level and fields. The adapter
 * (src/runtime/pino-log.ts) bounds repeats, redacts and writes. Messages are constant texts: whatever varies goes
 * into the fields, because repeats are counted by component, level and message.
 */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Tells whether `text` names a level. */
export const isLogLevel = (text: unknown): text is LogLevel =>
  typeof text === 'string' && (logLevels as readonly string[]).includes(text)

/** What a field may hold. Bytes are not among it: no key byte may reach a log (invariant I6). */
export type LogValue = string | number | boolean | bigint | null | undefined | readonly (string | number)[]

/** Fields of one line. Names carry units (`delayMs`, `sizeBits`). `error` may hold a caught value of any kind. */
export type LogFields = { readonly [name: string]: LogValue } & { readonly error?: never }
  | { readonly [name: string]: unknown, readonly error: unknown }

/** What a security event is about. */
export const securityCategories = [
  'authentication', 'key-access', 'certificate', 'authorisation', 'integrity', 'device', 'peer', 'store', 'operator',
] as const
export type SecurityCategory = (typeof securityCategories)[number]

/** How bad it is, from "worth knowing" to "act now". Decides the level of the line: info, info, warn, error, fatal. */
export const severities = ['info', 'low', 'medium', 'high', 'critical'] as const
export type Severity = (typeof severities)[number]

/**
 * Something that matters to the security of keys. `event` is a constant name like `sae.unknown`; `subject` says
 * about whom or what (an SAE, a link, a peer); `outcome` whether it was let through.
 */
export interface SecurityEvent {
  readonly category: SecurityCategory
  readonly severity: Severity
  readonly event: string
  readonly subject: string
  readonly outcome: 'allowed' | 'refused' | 'detected'
  readonly fields?: LogFields
}

/** Writing a line never throws and never waits. */
export interface Log {
  trace (message: string, fields?: LogFields): void
  debug (message: string, fields?: LogFields): void
  info (message: string, fields?: LogFields): void
  warn (message: string, fields?: LogFields): void
  error (message: string, fields?: LogFields): void
  fatal (message: string, fields?: LogFields): void
  /** A security event: a line with its category and severity, and a count per category and severity. */
  security (event: SecurityEvent): void
  /** The log of another component; its level can be set by itself at run time. */
  child (component: string): Log
}

const nothing = (): void => {}

/** Writes nothing: for simulated nodes and tests that do not look at the log. */
export const quietLog: Log = {
  trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing, fatal: nothing, security: nothing,
  child: () => quietLog,
}
