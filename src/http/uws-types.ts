/**
 * The part of uWebSockets.js 20.57 that qkme uses, typed by us: the package's own declarations lack
 * `getX509Certificate` and the time limits, and do not resolve under Node's module rules.
 */

/** Bytes or text; text is copied as UTF-8. */
export type UwsText = string | Uint8Array | ArrayBuffer

/** Dead after `onAborted`, and after `end` or a complete `tryEnd`: any use then throws. */
export interface UwsResponse {
  /** Must be called first, or not at all (then 200 OK). */
  writeStatus (status: UwsText): UwsResponse
  /** Writes `key: value\r\n` as it is: neither is checked. */
  writeHeader (key: UwsText, value: UwsText): UwsResponse
  end (body?: UwsText, closeConnection?: boolean): UwsResponse
  endWithoutBody (reportedLength?: number, closeConnection?: boolean): UwsResponse
  /** Writes what the socket takes now of a body of `total` bytes: [no backpressure, whole body taken]. */
  tryEnd (chunk: UwsText, total: number): [boolean, boolean]
  getWriteOffset (): number
  /** `offset`: bytes of the body taken so far. Return true if the rest was written or nothing was to write. */
  onWritable (handler: (offset: number) => boolean): UwsResponse
  onAborted (handler: () => void): UwsResponse
  /** `chunk` is only valid during the call. */
  onData (handler: (chunk: ArrayBuffer, isLast: boolean) => void): UwsResponse
  cork (write: () => void): UwsResponse
  close (): UwsResponse
  getRemoteAddressAsText (): ArrayBuffer
  /** The verified client certificate as PEM, encoded anew at each call: `KnownConnections` asks for it. Empty if the client sent none. */
  getX509Certificate (): string
  upgrade<UserData> (data: UserData, key: UwsText, protocol: UwsText, extensions: UwsText, context: UwsSocketContext): void
}

/** Dead as soon as the handler returns. */
export interface UwsRequest {
  /** Lower case name; the first of several; empty if absent. */
  getHeader (name: UwsText): string
  /** A segment that the route names, percent-encoded as it came. */
  getParameter (index: number): string | undefined
  /** The path without the query, as it came. */
  getUrl (): string
  /** Without the question mark; undefined without one. */
  getQuery (): string | undefined
  getMethod (): string
  getCaseSensitiveMethod (): string
  forEach (each: (name: string, value: string) => void): void
}

export interface UwsSocketContext { readonly __type: 'socket-context' }
export interface UwsListenSocket { readonly __type: 'listen-socket' }

export interface UwsWebSocket<UserData> {
  /** 1 sent, 0 buffered, 2 dropped because the buffer is at its bound. */
  send (message: UwsText, isBinary?: boolean, compress?: boolean): number
  cork (run: () => void): unknown
  getBufferedAmount (): number
  end (code?: number, reason?: UwsText): void
  close (): void
  ping (message?: UwsText): number
  getRemoteAddressAsText (): ArrayBuffer
  getUserData (): UserData
}

export interface UwsWebSocketBehavior<UserData> {
  maxPayloadLength?: number
  closeOnBackpressureLimit?: boolean
  maxLifetime?: number
  idleTimeout?: number
  compression?: number
  maxBackpressure?: number
  sendPingsAutomatically?: boolean
  upgrade?: (res: UwsResponse, req: UwsRequest, context: UwsSocketContext) => void
  open?: (socket: UwsWebSocket<UserData>) => void
  message?: (socket: UwsWebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => void
  dropped?: (socket: UwsWebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => void
  drain?: (socket: UwsWebSocket<UserData>) => void
  close?: (socket: UwsWebSocket<UserData>, code: number, message: ArrayBuffer) => void
}

export type UwsHandler = (res: UwsResponse, req: UwsRequest) => void

export interface UwsApp {
  get (pattern: string, handler: UwsHandler): UwsApp
  post (pattern: string, handler: UwsHandler): UwsApp
  any (pattern: string, handler: UwsHandler): UwsApp
  ws<UserData> (pattern: string, behavior: UwsWebSocketBehavior<UserData>): UwsApp
  /** Called with 1 when a connection was accepted (before TLS) and with -1 when it closed; then `res` must not be touched. */
  filter (each: (res: UwsResponse, change: number) => void): UwsApp
  listen (host: string, port: number, done: (socket: UwsListenSocket | false) => void): UwsApp
  /** Seconds (steps of 4, at most 960) after which a connection without a request, or with a half request, is closed. */
  setIdleTimeout (seconds: number): void
  /** Seconds after which a connection that takes none of its answer is closed. */
  setResponseTimeout (seconds: number): void
  /** Closes the listening socket and every connection at once. */
  close (): UwsApp
}

export interface UwsTlsOptions {
  key_file_name: string
  cert_file_name: string
  ca_file_name?: string
  passphrase?: string
  ssl_ciphers?: string
}

export interface UwsModule {
  SSLApp (options: UwsTlsOptions): UwsApp
  us_listen_socket_close (socket: UwsListenSocket): void
  us_socket_local_port (socket: UwsListenSocket): number
}
