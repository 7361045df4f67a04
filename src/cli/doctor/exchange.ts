import { timingSafeEqual } from 'node:crypto'
import { wordsFor } from './alerts.js'
import { ask, errorText, keysPath } from './request.js'
import { failed, ok, type SaeAccess, type Step } from './report.js'

export interface Party { readonly access: SaeAccess, readonly saeId: string }

/** Keys of a container as bytes, and the rest of it without them. */
interface Taken { readonly ids: string[], readonly keys: Buffer[] }

/** Takes one key as the master, fetches it as the slave, and compares. The key is used up; it is never shown. */
export const checkExchange = async (master: Party, slave: Party): Promise<Step> => {
  try {
    const given = await ask(master.access, 'POST', keysPath(slave.saeId, 'enc_keys'), { number: 1 })
    if (given.status !== 200) return failed('exchange', `enc_keys answers ${given.status}${errorText(given)}`, given.status === 503 ? 'there is not enough key or the other KME is away: qkme status at the KME' : 'see the step "status"')
    const first = takeKeys(given.body)
    const fetched = await ask(slave.access, 'POST', keysPath(master.saeId, 'dec_keys'), { key_IDs: first.ids.map((id) => ({ key_ID: id })) })
    if (fetched.status !== 200) {
      wipe(first)
      return failed('exchange', `dec_keys answers ${fetched.status}${errorText(fetched)}`, 'the slave\'s KME must know both SAEs and allow the pair; its log says which rule refused')
    }
    const second = takeKeys(fetched.body)
    const equal = first.keys.length === 1 && second.keys.length === 1 && same(first.keys[0] as Buffer, second.keys[0] as Buffer)
    wipe(first)
    wipe(second)
    return equal
      ? ok('exchange', `one key, ID ${first.ids[0] ?? '?'}: both SAEs got the same`)
      : failed('exchange', 'the two SAEs got different keys for one ID', 'stop using this link and report it with the logs of both KMEs: this must never happen')
  } catch (error) {
    const words = wordsFor(error as Error)
    return failed('exchange', words.message, words.advice)
  }
}

/**
 * Moves the Base64 of every "key" out of the body, wipes it there, and parses what remains: no key becomes a JavaScript string,
 * which could not be wiped.
 */
export const takeKeys = (body: Buffer): Taken => {
  const keys: Buffer[] = []
  const marker = Buffer.from('"key"')
  for (let at = body.indexOf(marker); at >= 0; at = body.indexOf(marker, at + marker.length)) {
    let from = at + marker.length
    while (from < body.length && /[\s:]/.test(String.fromCharCode(body[from] as number))) from++
    const to = body.indexOf('"', from + 1)
    if (body[from] !== 0x22 || to < 0) continue
    keys.push(Buffer.from(body.subarray(from + 1, to)))
    body.fill(0x2e, from + 1, to)
  }
  const container = JSON.parse(body.toString('utf8')) as { keys?: { key_ID?: unknown }[] }
  const ids = (container.keys ?? []).map((entry) => String(entry.key_ID))
  return { ids, keys }
}

const same = (a: Buffer, b: Buffer): boolean => a.length > 0 && a.length === b.length && timingSafeEqual(a, b)

const wipe = (taken: Taken): void => { for (const key of taken.keys) key.fill(0) }
