import { KmeError, type KmeErrorCode } from '../kernel/errors.js'

/** One name/value pair of an error's `details`, in wire names. */
export type Detail = Readonly<Record<string, unknown>>

/** A request that is answered with an error before the key service sees it. The message goes to the SAE. */
export class RequestError extends KmeError {
  constructor (code: KmeErrorCode, message: string, readonly details?: readonly Detail[]) { super(code, message) }
}

/** A 400 that names the member or parameter at fault: `details: [{"number": "must be …"}]`. */
export const badParameter = (name: string, rule: string): RequestError =>
  new RequestError('BAD_REQUEST', `${name} ${rule}`, [{ [name]: rule }])
