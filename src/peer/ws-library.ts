/**
 * What the peer port needs of uWebSockets.js. The library itself is loaded in one place (src/http/uws.ts) and handed in
 * by the runtime, so that this folder does not depend on the HTTP side.
 */
export interface PeerResponse {
  writeStatus (status: string): PeerResponse
  end (body?: string, closeConnection?: boolean): PeerResponse
  close (): PeerResponse
  /** The client certificate that TLS has verified, as PEM; empty if there was none. */
  getX509Certificate (): string
  upgrade<UserData> (data: UserData, key: string, protocol: string, extensions: string, context: never): void
}

/** Dead as soon as the handler returns. */
export interface PeerRequest {
  /** Lower case name; empty if absent. */
  getHeader (name: string): string
}

/** Dead as soon as its `close` handler was called. */
export interface PeerSocket<UserData> {
  /** 1 sent, 0 buffered, 2 dropped. */
  send (message: Uint8Array, isBinary: boolean, compress: boolean): number
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
  upgrade (res: PeerResponse, req: PeerRequest, context: never): void
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
  listen (host: string, port: number, done: (socket: never) => void): unknown
  close (): unknown
}

export interface WsLibrary {
  SSLApp (options: { key_file_name: string, cert_file_name: string, ca_file_name: string, ssl_ciphers: string }): PeerApp
  us_listen_socket_close (socket: never): void
  us_socket_local_port (socket: never): number
}
