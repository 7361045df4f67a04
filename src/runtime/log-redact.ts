/**
 * What may stand in a log line. Names that smell of secrets are hidden, bytes are replaced by their length, long
 * texts are cut: the last line of defence behind the rule that nobody logs key (invariant I6).
 */
const secretName = /^(key|keys|k1|k2|k3)$|secret|passw|passphrase|token|authorization|cookie|private_?key|^pem$|payload|plaintext/i
const TEXT_MAX = 1_000
const FIELDS_MAX = 40
const ITEMS_MAX = 50
const DEPTH_MAX = 4
const HIDDEN = '[hidden]'

const errorFields = (error: Error, depth: number): Record<string, unknown> => ({
  type: error.name,
  ...('code' in error ? { code: safe(error.code, depth) } : {}),
  message: cut(error.message),
  ...(error.stack === undefined ? {} : { stack: cut(error.stack.slice(error.stack.indexOf('\n') + 1)) }),
  ...(error.cause === undefined ? {} : { cause: safe(error.cause, depth) }),
})

const cut = (text: string): string => text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}… (${text.length} characters)`

const safe = (value: unknown, depth: number): unknown => {
  if (typeof value === 'string') return cut(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`
  if (typeof value !== 'object' || value === null) return value
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return `[${value.byteLength} bytes]`
  if (depth >= DEPTH_MAX) return '[deeper]'
  if (value instanceof Error) return errorFields(value, depth + 1)
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => safe(item, depth + 1))
  return fields(value as Record<string, unknown>, depth + 1)
}

const fields = (value: Record<string, unknown>, depth: number): Record<string, unknown> => Object.fromEntries(
  Object.entries(value).slice(0, FIELDS_MAX).map(([name, inner]) => [name, secretName.test(name) ? HIDDEN : safe(inner, depth)]))

/** A copy of a line's fields that may be written. Never throws: a field whose getter throws is named as such. */
export const redact = (value: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> => {
  if (value === undefined) return {}
  try {
    return fields(value, 0)
  } catch {
    return { unreadable: true }
  }
}
