import { wordsFor } from './alerts.js'
import { ask, errorText, keysPath, type Answer } from './request.js'
import { failed, ok, warning, type SaeAccess, type Step } from './report.js'

const clockToleranceMs = 5_000

/**
 * Asks for the status of the pair (this SAE, slave) and says in words why it is refused. Without a slave it asks for itself: a KME
 * that knows the caller answers 400 then, one that does not 401.
 */
export const checkStatus = async (access: SaeAccess, saeId: string | undefined, slave: string | undefined, nowMs: () => number): Promise<Step[]> => {
  const self = saeId ?? 'doctor-probe'
  try {
    const answer = await ask(access, 'GET', keysPath(slave ?? self, 'status'))
    const clock = checkClock(answer, nowMs())
    if (slave !== undefined && answer.status === 401) return [...clock, await explainRefusal(access, self, slave)]
    return [...clock, slave === undefined ? judgeSelf(answer) : judge(answer, slave)]
  } catch (error) {
    const words = wordsFor(error as Error)
    return [failed('status', words.message, words.advice)]
  }
}

/** Certificates live by clocks: hours of difference are a finding even while everything works. */
const checkClock = (answer: Answer, nowMs: number): Step[] => {
  const { date } = answer.headers
  if (typeof date !== 'string') return [{ name: 'clock', result: 'skipped', message: 'the KME states no time' }]
  const aheadMs = nowMs - Date.parse(date)
  if (Number.isNaN(aheadMs)) return [{ name: 'clock', result: 'skipped', message: 'the KME states a time that cannot be read' }]
  if (Math.abs(aheadMs) <= clockToleranceMs) return [ok('clock', 'the clocks agree within 5 s')]
  return [warning('clock', `this machine's clock is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the KME's`, 'synchronise both (NTP): certificates and lists are judged by them')]
}

const unknownCaller = failed('status', 'the KME does not accept this SAE (401)',
  'at the KME: register it (qkme sae add), see whether it is suspended (qkme sae list), whether its certificate is revoked, pinned otherwise or the CRL is out of date (log, component security)')

const explainRefusal = async (access: SaeAccess, self: string, slave: string): Promise<Step> => {
  const own = await ask(access, 'GET', keysPath(self, 'status'))
  if (own.status === 401) return unknownCaller
  return failed('status', `the KME knows this SAE but does not allow it to share keys with "${slave}" (401)`, 'allow the pair at the KME (policy.pairs); with confidentialNames it may also be that the slave does not exist')
}

const judgeSelf = (answer: Answer): Step => {
  if (answer.status === 401) return unknownCaller
  if (answer.status === 400) return ok('status', 'the KME accepts this SAE (give --slave to check a pair)')
  return judge(answer, 'itself')
}

const judge = (answer: Answer, slave: string): Step => {
  const text = errorText(answer)
  switch (answer.status) {
    case 200: return judgeStock(answer, slave)
    case 400: return failed('status', `the KME does not know "${slave}"${text}`, 'check the spelling (letter case counts); the slave must be registered at its KME, which must be known here')
    case 404: return failed('status', `there is no such path (404)${text}`, 'this is no ETSI GS QKD 014 server, or the URL has a path: give only https://host:port')
    case 503: return failed('status', `the KME cannot serve now (503)${text}${retryAfter(answer)}`, 'at the KME: qkme status says whether peer, link or store is down')
    default: return failed('status', `unexpected answer ${answer.status}${text}`, 'read the log of the KME')
  }
}

const retryAfter = (answer: Answer): string => typeof answer.headers['retry-after'] === 'string' ? `; try again in ${answer.headers['retry-after']} s` : ''

const judgeStock = (answer: Answer, slave: string): Step => {
  try {
    const status = JSON.parse(answer.body.toString('utf8')) as { stored_key_count?: number, key_size?: number, target_KME_ID?: string }
    if (typeof status.stored_key_count !== 'number') throw new Error('no stored_key_count')
    const where = `for "${slave}" at KME "${status.target_KME_ID ?? '?'}"`
    if (status.stored_key_count === 0) return warning('status', `allowed, but there is no key in stock ${where}`, 'at the KME: qkme status says whether the link delivers and the other KME is there')
    return ok('status', `${status.stored_key_count} keys of ${status.key_size ?? '?'} bits in stock ${where}`)
  } catch {
    return failed('status', 'the answer is not the status of ETSI GS QKD 014', 'check that the URL leads to a KME')
  }
}
