import { createHash, timingSafeEqual } from 'node:crypto'
import { KmeError } from '../../kernel/errors.js'
import type { Clock } from '../../kernel/time.js'
import { takeKeys } from '../doctor/exchange.js'
import type { SaeAccess } from '../doctor/report.js'
import { ask, errorText, keysPath, type Answer } from '../doctor/request.js'
import { pause } from '../keep-alive.js'

const retryMs = 250, retryForMs = 15_000

export interface TrialResult {
  readonly keyId: string
  readonly storedKeys: number
  readonly keyBits: number
  /** The first 8 bytes of SHA-256 of the key, in hex, as each SAE got it. */
  readonly fingerprintA: string
  readonly fingerprintB: string
  readonly equal: boolean
}

export interface Party { readonly saeId: string, readonly access: SaeAccess }

/**
 * The first key: status and enc_keys as the master at its KME, dec_keys as the slave at the other (014, clauses 5.1 to 5.4). The key
 * is compared, fingerprinted and wiped; it is never shown.
 *
 * @throws KmeError `INTERNAL` saying which request was refused, and with what.
 */
export const exchangeKey = async (master: Party, slave: Party, clock: Clock): Promise<TrialResult> => {
  const status = await succeed('status', clock, () => ask(master.access, 'GET', keysPath(slave.saeId, 'status')))
  const { stored_key_count: storedKeys, key_size: keyBits } = JSON.parse(status.body.toString('utf8')) as { stored_key_count: number, key_size: number }
  const given = takeKeys((await succeed('enc_keys', clock, () => ask(master.access, 'POST', keysPath(slave.saeId, 'enc_keys'), { number: 1 }))).body)
  const fetched = takeKeys((await succeed('dec_keys', clock, () =>
    ask(slave.access, 'POST', keysPath(master.saeId, 'dec_keys'), { key_IDs: given.ids.map((id) => ({ key_ID: id })) }))).body)
  const a = given.keys[0], b = fetched.keys[0], keyId = given.ids[0]
  if (a === undefined || b === undefined || keyId === undefined) throw new KmeError('INTERNAL', 'an answer holds no key')
  const result = {
    keyId, storedKeys, keyBits, fingerprintA: fingerprint(a), fingerprintB: fingerprint(b),
    equal: fetched.ids[0] === keyId && a.length === b.length && timingSafeEqual(a, b),
  }
  for (const key of [...given.keys, ...fetched.keys]) key.fill(0)
  return result
}

/** A KME may answer 503 for a moment, while the two agree on the pair of SAEs; nothing is consumed by that. */
const succeed = async (what: string, clock: Clock, request: () => Promise<Answer>): Promise<Answer> => {
  const untilMs = clock.monoMs() + retryForMs
  for (;;) {
    const answer = await request()
    if (answer.status === 200) return answer
    if (answer.status !== 503 || clock.monoMs() > untilMs) throw new KmeError('INTERNAL', `the first exchange failed: ${what} answers ${answer.status}${errorText(answer)}`)
    await pause(clock, retryMs)
  }
}

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

/** Of the key's bytes. Decodes Base64 (RFC 4648) by hand, because Node's way goes through a string, which could not be wiped. */
export const fingerprint = (base64: Uint8Array): string => {
  const digits = base64.filter((byte) => byte !== 0x3d)
  const bytes = Buffer.alloc(Math.floor(digits.length * 3 / 4))
  let bits = 0, held = 0, at = 0
  for (const digit of digits) {
    held = (held << 6 | alphabet.indexOf(digit)) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    bytes[at++] = held >>> bits & 0xff
  }
  const hash = createHash('sha256').update(bytes).digest()
  bytes.fill(0)
  digits.fill(0)
  return hash.subarray(0, 8).toString('hex').replace(/(.{4})(?=.)/g, '$1 ')
}
