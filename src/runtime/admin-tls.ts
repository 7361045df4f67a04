import { readFileSync } from 'node:fs'
import type { ReadTls } from '../admin/server.js'
import { KmeError } from '../kernel/errors.js'

/** Reads certificate, key and CA of the operator port anew at each call. @throws KmeError `CERTIFICATE_INVALID` naming the file. */
export const readHttpsTls = (tls: { readonly certificate: string, readonly key: string, readonly ca: string }): ReadTls => () => {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (cause) {
      throw new KmeError('CERTIFICATE_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause })
    }
  }
  return { cert: read(tls.certificate), key: read(tls.key), ca: read(tls.ca) }
}
