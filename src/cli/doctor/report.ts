/** One thing that the doctor looked at. */
export interface Step {
  readonly name: 'files' | 'network' | 'tls' | 'clock' | 'identity' | 'status' | 'exchange'
  readonly result: 'ok' | 'warning' | 'failed' | 'skipped'
  /** What was found, in words. */
  readonly message: string
  /** What to do, where something is wrong. */
  readonly advice?: string
}

export const ok = (name: Step['name'], message: string): Step => ({ name, result: 'ok', message })
export const failed = (name: Step['name'], message: string, advice: string): Step => ({ name, result: 'failed', message, advice })
export const warning = (name: Step['name'], message: string, advice: string): Step => ({ name, result: 'warning', message, advice })

/** How an SAE reaches its KME. */
export interface SaeAccess {
  /** https://host:port */
  readonly url: URL
  readonly certificateFile: string
  readonly keyFile: string
  /** CA of the KME's certificate. */
  readonly caFile: string
  /** KME ID that the server's certificate must name, if known. */
  readonly kme: string | undefined
  readonly timeoutMs: number
}
