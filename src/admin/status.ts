import { KmeError, type KmeErrorCode } from '../kernel/errors.js'

/** HTTP status of the admin API by code. The key delivery has its own table: there the standard prescribes it. */
const statusByCode: Partial<Record<KmeErrorCode, number>> = {
  BAD_REQUEST: 400, UNAUTHORIZED: 401, FORBIDDEN: 403, NOT_FOUND: 404, METHOD_NOT_ALLOWED: 405, BUSY: 409,
  BODY_TOO_LARGE: 413, UNSUPPORTED_MEDIA_TYPE: 415, THROTTLED: 429, PEER_DOWN: 503, STOPPING: 503, SUSPENDED: 409,
  STORE_FULL: 503, STORE_UNAVAILABLE: 503, NO_KEYS: 503, QUEUE_FULL: 503,
}

/** What an operator gets: expected errors with their words; anything else without detail, which is in the log. */
export const answerOf = (error: unknown): { readonly status: number, readonly body: { readonly code: KmeErrorCode, readonly message: string } } => {
  if (!(error instanceof KmeError)) return { status: 500, body: { code: 'INTERNAL', message: 'something went wrong: the log has the details' } }
  return { status: statusByCode[error.code] ?? 500, body: { code: error.code, message: error.message } }
}
