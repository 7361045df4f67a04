import type { KmeErrorCode } from '../kernel/errors.js'

/** The outcomes of a request that are counted: every HTTP status we send, and answers that did not arrive. */
export const outcomes = ['200', '400', '401', '404', '405', '413', '415', '503', 'aborted'] as const
export type Outcome = (typeof outcomes)[number]
export type ErrorStatus = Exclude<Outcome, '200' | 'aborted'>

/** Status lines as they go out. */
export const statusLines: Readonly<Record<ErrorStatus, string>> = {
  400: '400 Bad Request', 401: '401 Unauthorized', 404: '404 Not Found', 405: '405 Method Not Allowed',
  413: '413 Content Too Large', 415: '415 Unsupported Media Type', 503: '503 Service Unavailable',
}

/** How one code is answered. `message`: fixed text instead of the refusal's own; `hideDetails`: its reason is for the audit trail only. */
export interface StatusRule { readonly status: ErrorStatus, readonly message?: string, readonly hideDetails?: boolean, readonly retryAfterS?: number }

/** The five sentences that ETSI GS QKD 014 V1.1.1 prescribes (clauses 6.2 and 6.4), to the letter. */
export const sentences = {
  sizeMultiple: 'size shall be a multiple of 8',
  mandatoryUnsupported: 'not all extension_mandatory parameters are supported',
  mandatoryUnmet: 'not all extension_mandatory request options could be met',
  optionalUnhandled: 'not all extension_optional request options handled',
  keysNotFound: 'one or more keys specified are not found on KME',
} as const

// The standard knows 400, 401 and 503 (Tables 4, 6, 8); the rest is HTTP's own (RFC 9110). 403 is not among them:
// a caller who may not is 401, without a body.
const rules: Partial<Record<KmeErrorCode, StatusRule>> = {
  BAD_REQUEST: { status: '400' },
  UNAUTHORIZED: { status: '401' },
  FORBIDDEN: { status: '401' },
  KEYS_NOT_FOUND: { status: '400', message: sentences.keysNotFound, hideDetails: true },
  EXTENSION_UNSUPPORTED: { status: '400', message: sentences.mandatoryUnsupported },
  EXTENSION_UNMET: { status: '400', message: sentences.mandatoryUnmet },
  NOT_FOUND: { status: '404' },
  METHOD_NOT_ALLOWED: { status: '405' },
  BODY_TOO_LARGE: { status: '413' },
  UNSUPPORTED_MEDIA_TYPE: { status: '415' },
  NO_KEYS: { status: '503', retryAfterS: 1 },
  THROTTLED: { status: '503', retryAfterS: 1 },
  BUSY: { status: '503', retryAfterS: 1 },
  PEER_DOWN: { status: '503', retryAfterS: 5 },
  STOPPING: { status: '503', retryAfterS: 5 },
  SUSPENDED: { status: '503', retryAfterS: 30 },
}

/** Every other code is a fault of ours: its message is for the log, not for the SAE. */
const internalFault: StatusRule = { status: '503', message: 'the KME cannot serve this request now', hideDetails: true, retryAfterS: 5 }

/** The only place where a code becomes an HTTP status. */
export const statusRule = (code: KmeErrorCode): StatusRule => rules[code] ?? internalFault
