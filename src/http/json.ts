import { RequestError } from './request-error.js'

/** Objects have no prototype, so that a member `__proto__` is a member like any other. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject { [name: string]: JsonValue }

const bad = (what: string, at: number): RequestError =>
  new RequestError('BAD_REQUEST', `the body is not valid JSON: ${what} at character ${at}`)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const numberForm = /-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?/y
const plainString = /[^"\\\u0000-\u001f]*/y
const escapes: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * Reads one JSON text strictly: valid UTF-8 without a byte order mark, no repeated member, nothing after the value,
 * nesting at most `depthMax`, well-formed strings, numbers that a double tells apart from an integer. JSON.parse
 * would keep the last of two equal members without a word.
 *
 * @throws RequestError `BAD_REQUEST` with what is wrong and where.
 * @see RFC 8259; clause 4 on repeated names, clause 6 on numbers, clause 8.1 on the byte order mark
 */
export const readJson = (bytes: Uint8Array, depthMax: number): JsonValue => {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw new RequestError('BAD_REQUEST', 'the body is not valid UTF-8')
  }
  if (text.charCodeAt(0) === 0xfeff) throw bad('a byte order mark', 0)
  return new Reader(text, depthMax).whole()
}

class Reader {
  #at = 0
  #depth = 0

  constructor (private readonly text: string, private readonly depthMax: number) {}

  whole (): JsonValue {
    const value = this.#value()
    this.#space()
    if (this.#at !== this.text.length) throw bad('something follows the value', this.#at)
    return value
  }

  #space (): void {
    for (;;) {
      const code = this.text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #value (): JsonValue {
    this.#space()
    switch (this.text[this.#at]) {
      case '{': return this.#nested(() => this.#object())
      case '[': return this.#nested(() => this.#array())
      case '"': return this.#string()
      case 't': return this.#literal('true', true)
      case 'f': return this.#literal('false', false)
      case 'n': return this.#literal('null', null)
      default: return this.#number()
    }
  }

  #nested<T> (read: () => T): T {
    if (++this.#depth > this.depthMax) throw bad(`nesting deeper than ${this.depthMax}`, this.#at)
    this.#at++
    const value = read()
    this.#depth--
    return value
  }

  #object (): JsonObject {
    const object = Object.create(null) as JsonObject
    if (this.#ends('}')) return object
    do {
      this.#space()
      const at = this.#at
      if (this.text[at] !== '"') throw bad('a member name was expected', at)
      const name = this.#string()
      if (name in object) throw bad('a member name is repeated', at)
      this.#space()
      if (this.text[this.#at] !== ':') throw bad('a colon was expected', this.#at)
      this.#at++
      object[name] = this.#value()
    } while (this.#goesOn('}'))
    return object
  }

  #array (): JsonValue[] {
    const array: JsonValue[] = []
    if (this.#ends(']')) return array
    do array.push(this.#value())
    while (this.#goesOn(']'))
    return array
  }

  #ends (closing: string): boolean {
    this.#space()
    if (this.text[this.#at] !== closing) return false
    this.#at++
    return true
  }

  #goesOn (closing: string): boolean {
    if (this.#ends(closing)) return false
    if (this.text[this.#at] !== ',') throw bad(`a comma or ${closing} was expected`, this.#at)
    this.#at++
    return true
  }

  #literal<T> (word: string, value: T): T {
    if (!this.text.startsWith(word, this.#at)) throw bad('a value was expected', this.#at)
    this.#at += word.length
    return value
  }

  #string (): string {
    const start = this.#at++
    let text = ''
    for (;;) {
      plainString.lastIndex = this.#at
      const plain = plainString.exec(this.text)?.[0] ?? ''
      text += plain
      this.#at += plain.length
      const next = this.text[this.#at]
      if (next === '"') break
      if (next !== '\\') throw bad(next === undefined ? 'a string does not end' : 'a control character in a string', this.#at)
      text += this.#escape()
    }
    this.#at++
    // Half a surrogate pair has no UTF-8 form: two programs would read it differently.
    if (/\p{Surrogate}/u.test(text)) throw bad('half a surrogate pair in a string', start)
    return text
  }

  #escape (): string {
    const letter = this.text[this.#at + 1] ?? ''
    const simple = escapes[letter]
    if (simple !== undefined) {
      this.#at += 2
      return simple
    }
    const hex = this.text.slice(this.#at + 2, this.#at + 6)
    if (letter !== 'u' || !/^[0-9a-fA-F]{4}$/.test(hex)) throw bad('an unknown escape', this.#at)
    this.#at += 6
    return String.fromCharCode(Number.parseInt(hex, 16))
  }

  #number (): number {
    numberForm.lastIndex = this.#at
    const match = numberForm.exec(this.text)
    if (match === null) throw bad('a value was expected', this.#at)
    const value = Number(match[0])
    if (!Number.isFinite(value)) throw bad('a number too large', this.#at)
    if (Number.isInteger(value) && !isWhole(match[0])) throw bad('a number with more digits than can be told apart', this.#at)
    this.#at += match[0].length
    return value
  }
}

/** Whether a JSON number is an integer by its digits: 1.0 and 1e0 and 10e-1 are, 1.00000000000000000001 is not. */
const isWhole = (token: string): boolean => {
  const [mantissa = '', exponent = '0'] = token.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const digits = (whole + fraction).replace(/0+$/, '')
  const zerosDropped = whole.length + fraction.length - digits.length
  return digits === '' || fraction.length - Number(exponent) - zerosDropped <= 0
}
