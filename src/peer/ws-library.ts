/**
 * What the peer port needs of uWebSockets.js and of the part that loads it (src/http/tls-app.ts). The runtime hands it in,
 * so that this folder does not depend on the HTTP side.
 */
export interface PeerResponse {
  writeStatus (status: string): PeerResponse
  end (body?: string, closeConnection?: boolean): PeerResponse
  close (): PeerResponse
  /** The client certificate that TLS has verified, as PEM; empty if there was none. */
  getX509Certificate (): string
  upgrade<UserData> (data: UserData, key: string, protocol: string, extensions: string, context: PeerUpgradeContext): void
}

/** Opaque. */
export interface PeerUpgradeContext { readonly __type: 'socket-context' }

/** Dead as soon as the handler returns. */
export interface PeerRequest {
  /** Lower case name; empty if absent. */
  getHeader (name: string): string
}

/** Dead as soon as its `close` handler was called. */
export interface PeerSocket<UserData> {
  /** 1 sent, 0 buffered, 2 dropped. */
  send (message: Uint8Array, isBinary: boolean, compress: boolean): number
  /** Gathers what is sent within `run`. */
  cork (run: () => void): unknown
  getBufferedAmount (): number
  end (code: number, reason: string): void
  close (): void
  ping (): number
  getUserData (): UserData
}

export interface PeerSocketBehavior<UserData> {
  maxPayloadLength: number
  maxBackpressure: number
  closeOnBackpressureLimit: boolean
  /** Seconds; 0 turns it off. */
  idleTimeout: number
  compression: number
  sendPingsAutomatically: boolean
  upgrade (res: PeerResponse, req: PeerRequest, context: PeerUpgradeContext): void
  open (socket: PeerSocket<UserData>): void
  message (socket: PeerSocket<UserData>, message: ArrayBuffer, isBinary: boolean): void
  ping (socket: PeerSocket<UserData>): void
  pong (socket: PeerSocket<UserData>): void
  drain (socket: PeerSocket<UserData>): void
  close (socket: PeerSocket<UserData>, code: number, reason: ArrayBuffer): void
}

export interface PeerApp {
  ws<UserData> (pattern: string, behavior: PeerSocketBehavior<UserData>): unknown
  any (pattern: string, handler: (res: PeerResponse) => void): unknown
  filter (each: (res: PeerResponse, change: number) => void): unknown
  close (): unknown
}

/** src/http/tls-app.ts: TLS applications, with errors that say what is wrong. */
export interface TlsServer {
  /** @throws KmeError `CERTIFICATE_INVALID`, `ADDON_MISSING`. */
  createTlsApp (door: { certificateFile: string, keyFile: string, caFile: string, allowTls12: boolean, idleTimeoutS: number }): PeerApp
  /** @throws KmeError `PORT_TAKEN`, `CONFIG_INVALID`. */
  assertPortFree (host: string, port: number): Promise<void>
  /** Also beside another listener of this process on the same port. @throws KmeError `PORT_TAKEN`. */
  listenTls (app: never, host: string, port: number): { readonly port: number, close (): void }
}
