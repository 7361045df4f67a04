import { KmeError, type KmeErrorCode } from '../kernel/errors.js'

/** One exit code of `qkme`, as scripts and service managers see it. Numbers never change once released. */
export interface ExitCode { readonly code: number, readonly name: string, readonly meaning: string }

/** The documented table: `qkme help exit-codes` prints it, docs and service files refer to it. */
export const exitCodes = {
  ok: { code: 0, name: 'ok', meaning: 'done' },
  failed: { code: 1, name: 'failed', meaning: 'the command ran and found or met a failure' },
  usage: { code: 2, name: 'usage', meaning: 'unknown command or option, or a wrong argument' },
  config: { code: 3, name: 'config', meaning: 'the configuration is wrong' },
  certificate: { code: 4, name: 'certificate', meaning: 'a certificate, key or CRL file is wrong or missing' },
  port: { code: 5, name: 'port', meaning: 'a port to listen on is taken' },
  addon: { code: 6, name: 'addon', meaning: 'the native addon is not built' },
  memory: { code: 7, name: 'memory', meaning: 'memory for key cannot be locked' },
  random: { code: 8, name: 'random', meaning: 'the random source failed its health test' },
  storeUnavailable: { code: 10, name: 'store-unavailable', meaning: 'the store cannot be opened or its disk refuses' },
  storeLocked: { code: 11, name: 'store-locked', meaning: 'another process holds the store' },
  storeNewer: { code: 12, name: 'store-newer', meaning: 'the store was written by a newer release' },
  storeCorrupt: { code: 13, name: 'store-corrupt', meaning: 'the store is damaged' },
  storeCopied: { code: 14, name: 'store-copied', meaning: 'the store is a copy of another one' },
  storeFull: { code: 15, name: 'store-full', meaning: 'the disk or the store is full' },
  masterKeyWrong: { code: 16, name: 'master-key-wrong', meaning: 'the master key does not open this store' },
  masterKeyMissing: { code: 17, name: 'master-key-missing', meaning: 'the master key file is missing' },
  unreachable: { code: 20, name: 'unreachable', meaning: 'no running KME answers' },
  forbidden: { code: 21, name: 'forbidden', meaning: 'the KME refuses this operator' },
  notFound: { code: 22, name: 'not-found', meaning: 'the thing named does not exist' },
  gaveUp: { code: 70, name: 'gave-up', meaning: 'a vital part failed too often; the service manager may restart' },
} as const satisfies Record<string, ExitCode>

const byError: Partial<Record<KmeErrorCode, ExitCode>> = {
  BAD_REQUEST: exitCodes.usage, CONFIG_INVALID: exitCodes.config, CERTIFICATE_INVALID: exitCodes.certificate, PORT_TAKEN: exitCodes.port,
  ADDON_MISSING: exitCodes.addon, MEMORY_NOT_LOCKED: exitCodes.memory, RANDOM_FAILED: exitCodes.random,
  STORE_UNAVAILABLE: exitCodes.storeUnavailable, STORE_LOCKED: exitCodes.storeLocked, STORE_NEWER: exitCodes.storeNewer,
  STORE_CORRUPT: exitCodes.storeCorrupt, STORE_COPIED: exitCodes.storeCopied, STORE_FULL: exitCodes.storeFull,
  MASTER_KEY_WRONG: exitCodes.masterKeyWrong, MASTER_KEY_MISSING: exitCodes.masterKeyMissing,
  PEER_DOWN: exitCodes.unreachable, UNAUTHORIZED: exitCodes.forbidden, FORBIDDEN: exitCodes.forbidden, NOT_FOUND: exitCodes.notFound,
}

/**
 * The code of an expected failure: of a KmeError, or of an error of the addon, which carries one of the same codes without
 * being of the class. Undefined for everything else: a bug, or an error of Node's.
 */
export const expectedCodeOf = (error: unknown): KmeErrorCode | undefined => {
  if (error instanceof KmeError) return error.code
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' && Object.hasOwn(byError, code) ? code as KmeErrorCode : undefined
}

/** The exit code for an error that ends the process. What is not expected is `failed`. */
export const exitCodeOf = (error: unknown): number => {
  const code = expectedCodeOf(error)
  return (code === undefined ? exitCodes.failed : byError[code] ?? exitCodes.failed).code
}
