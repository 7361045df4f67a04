/**
 * JSON (RFC 8259) read as bytes: strings stay where they are in the buffer, so that key in them never becomes a JavaScript
 * string. Pure; strict; bounded in depth and in the number of values.
 */

/** A string by its place in the buffer, without the quotes, escapes not resolved. */
export interface TextAt { readonly start: number, readonly end: number }
export type JsonNode =
  | { readonly type: 'object', readonly members: ReadonlyMap<string, JsonNode> }
  | { readonly type: 'array', readonly items: readonly JsonNode[] }
  | { readonly type: 'text', readonly at: TextAt }
  | { readonly type: 'number', readonly value: number }
  | { readonly type: 'other', readonly value: boolean | null }

export interface JsonBounds { readonly depth: number, readonly values: number }
export const jsonBounds: JsonBounds = { depth: 16, values: 20_000 }

/** Longest name of a member, and longest number. */
const NAME_BYTES_MAX = 128, NUMBER_BYTES_MAX = 32
const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/

/** What stands in the way, with its place. Never the bytes themselves. */
export class JsonFault extends Error {
  override readonly name = 'JsonFault'
}

class Reader {
  private at = 0
  private values = 0

  constructor (private readonly bytes: Uint8Array, private readonly bounds: JsonBounds) {}

  whole (): JsonNode {
    const node = this.value(0)
    this.space()
    if (this.at < this.bytes.length) this.fail('something follows the value')
    return node
  }

  private fail (what: string): never { throw new JsonFault(`not JSON: ${what} at byte ${this.at}`) }

  private space (): void {
    for (;;) {
      const byte = this.bytes[this.at]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
      this.at++
    }
  }

  private value (depth: number): JsonNode {
    if (depth > this.bounds.depth) this.fail('nested too deep')
    if (++this.values > this.bounds.values) this.fail('too many values')
    this.space()
    switch (this.bytes[this.at]) {
      case 0x7b: return this.object(depth)
      case 0x5b: return this.array(depth)
      case 0x22: return { type: 'text', at: this.text() }
      case 0x74: return this.word('true', true)
      case 0x66: return this.word('false', false)
      case 0x6e: return this.word('null', null)
      default: return this.number()
    }
  }

  private object (depth: number): JsonNode {
    const members = new Map<string, JsonNode>()
    this.at++
    this.space()
    if (this.bytes[this.at] === 0x7d) { this.at++; return { type: 'object', members } }
    for (;;) {
      this.space()
      if (this.bytes[this.at] !== 0x22) this.fail('a name is missing')
      const { start, end } = this.text()
      if (end - start > NAME_BYTES_MAX) this.fail('a name is too long')
      const name = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, end - start).toString('utf8')
      if (members.has(name)) this.fail('a name stands twice')
      this.space()
      if (this.bytes[this.at++] !== 0x3a) this.fail('a colon is missing')
      members.set(name, this.value(depth + 1))
      this.space()
      const byte = this.bytes[this.at++]
      if (byte === 0x7d) return { type: 'object', members }
      if (byte !== 0x2c) this.fail('a comma or the end is missing')
    }
  }

  private array (depth: number): JsonNode {
    const items: JsonNode[] = []
    this.at++
    this.space()
    if (this.bytes[this.at] === 0x5d) { this.at++; return { type: 'array', items } }
    for (;;) {
      items.push(this.value(depth + 1))
      this.space()
      const byte = this.bytes[this.at++]
      if (byte === 0x5d) return { type: 'array', items }
      if (byte !== 0x2c) this.fail('a comma or the end is missing')
    }
  }

  private text (): TextAt {
    const start = ++this.at
    for (;;) {
      const byte = this.bytes[this.at]
      if (byte === undefined || byte < 0x20) this.fail('a string does not end')
      if (byte === 0x22) return { start, end: this.at++ }
      if (byte === 0x5c) this.escape()
      else this.at++
    }
  }

  private escape (): void {
    const kind = this.bytes[this.at + 1]
    if (kind === undefined || !'"\\/bfnrtu'.includes(String.fromCharCode(kind))) this.fail('an escape is unknown')
    this.at += 2
    if (kind !== 0x75) return
    for (let i = 0; i < 4; i++) {
      const byte = this.bytes[this.at++] ?? 0
      if (!(byte >= 0x30 && byte <= 0x39) && !((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)) this.fail('an escape is not hexadecimal')
    }
  }

  private word (text: string, value: boolean | null): JsonNode {
    for (let i = 0; i < text.length; i++) if (this.bytes[this.at + i] !== text.charCodeAt(i)) this.fail('a word is unknown')
    this.at += text.length
    return { type: 'other', value }
  }

  private number (): JsonNode {
    const start = this.at
    while (this.at - start <= NUMBER_BYTES_MAX && '+-.eE0123456789'.includes(String.fromCharCode(this.bytes[this.at] ?? 0x20))) this.at++
    const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, this.at - start).toString('latin1')
    if (!NUMBER.test(text)) this.fail('a value is missing or a number is malformed')
    return { type: 'number', value: Number(text) }
  }
}

/** @throws JsonFault with the place, without content. */
export const readJson = (bytes: Uint8Array, bounds: JsonBounds = jsonBounds): JsonNode => new Reader(bytes, bounds).whole()

export const member = (node: JsonNode | undefined, name: string): JsonNode | undefined => node?.type === 'object' ? node.members.get(name) : undefined

/** A text that is no secret (names, URIs), if it is one, without escapes and not longer than `bytesMax`. */
export const plainText = (bytes: Uint8Array, node: JsonNode | undefined, bytesMax = 256): string | undefined => {
  if (node?.type !== 'text' || node.at.end - node.at.start > bytesMax) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + node.at.start, node.at.end - node.at.start)
  return text.includes(0x5c) ? undefined : text.toString('utf8')
}

/** A whole number from 0 to `max`, if it is one. */
export const wholeNumber = (node: JsonNode | undefined, max: number): number | undefined =>
  node?.type === 'number' && Number.isInteger(node.value) && node.value >= 0 && node.value <= max ? node.value : undefined
