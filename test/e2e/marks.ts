/** Searching files for key that was delivered, in every form in which it could have leaked. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes of each mark: shorter would meet by chance, longer would miss pieces. */
const MARK_BYTES = 16

/** A key's first bytes, raw, in hexadecimal of both cases, in Base64 and in its URL form, as they stand in a file. */
const formsOf = (key: Buffer): Buffer[] => {
  const mark = key.subarray(0, MARK_BYTES), hex = mark.toString('hex')
  // 15 bytes are a whole number of Base64 digits. A decimal list is how JSON shows a typed array.
  const base64 = key.subarray(0, 15).toString('base64'), list = [...mark].join(',')
  return [mark, ...[hex, hex.toUpperCase(), base64, key.subarray(0, 15).toString('base64url'), list].map((text) => Buffer.from(text))]
}

export interface Haystack { readonly name: string, readonly bytes: Buffer }

/** Every file below `folder`. */
export const filesBelow = (folder: string): Haystack[] => readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => statSync(path).size > 0)
  .map((name) => ({ name, bytes: readFileSync(name) }))

/** Names of what holds a mark of one of `keys` (Base64). */
export const leaks = (keys: readonly string[], haystacks: readonly Haystack[]): string[] => {
  const forms = keys.flatMap((key) => formsOf(Buffer.from(key, 'base64')))
  return haystacks.flatMap(({ name, bytes }) => forms.filter((form) => bytes.includes(form)).map((form) => `${name}: a form of ${form.length} bytes`))
}
