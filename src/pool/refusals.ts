import type { Refusal } from './service.js'

const sentence = {
  notFound: 'one or more keys specified are not found on KME', // 014 clause 6.4
  unmet: 'not all extension_mandatory request options could be met', // 014 clause 6.2
}

/** Every refusal of the key service, in the words that SAEs see. The sentences that 014 prescribes are exact. */
export const refusals = {
  unauthorized: { code: 'UNAUTHORIZED', message: 'unauthorized' },
  unknownSae: (what: string): Refusal => ({ code: 'BAD_REQUEST', message: 'unknown SAE', details: [{ [what]: 'unknown' }] }),
  sameSae: (what: string): Refusal => ({ code: 'BAD_REQUEST', message: 'an SAE cannot share a key with itself', details: [{ [what]: 'is the caller' }] }),
  multicastSize: (numberMax: number): Refusal => ({ code: 'BAD_REQUEST', message: `keys for slave SAEs at several KMEs: at most ${numberMax} of this size in one request`, details: [{ number: `at most ${numberMax}` }] }),
  noKeys: { code: 'NO_KEYS', message: 'insufficient key material', retryAfterS: 1 },
  preparing: { code: 'NO_KEYS', message: 'keys with the KME of the slave SAE are being prepared', retryAfterS: 2 },
  busy: { code: 'BUSY', message: 'too many requests are waiting', retryAfterS: 1 },
  stopping: { code: 'STOPPING', message: 'the KME is stopping', retryAfterS: 5 },
  notFound: { code: 'KEYS_NOT_FOUND', message: sentence.notFound },
  unmet: (name: string): Refusal => ({ code: 'EXTENSION_UNMET', message: sentence.unmet, details: [{ extension_mandatory_unmet: name }] }),
  association: (reason: string): Refusal => reason.includes('not allowed')
    ? { code: 'UNAUTHORIZED', message: 'unauthorized' }
    : { code: 'NO_KEYS', message: reason, retryAfterS: 1 },
  blocked: (why: 'PEER_DOWN' | 'SUSPENDED' | 'NO_KEYS'): Refusal => why === 'PEER_DOWN'
    ? { code: 'PEER_DOWN', message: 'the KME of the slave SAE cannot be reached', retryAfterS: 2 }
    : why === 'SUSPENDED'
      ? { code: 'SUSPENDED', message: 'key delivery is suspended', retryAfterS: 30 }
      : { code: 'NO_KEYS', message: 'key delivery is not possible now', retryAfterS: 2 },
} as const satisfies Record<string, Refusal | ((...args: never[]) => Refusal)>
