import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { KmeError } from '../kernel/errors.js'
import type { Log } from '../kernel/log.js'
import type { AdminHandler, Entrance } from './handler.js'
import { clientPem, listenHttps, listenUnix, type HttpsListener, type HttpsOptions } from './listen.js'
import { socketOperator, type OperatorCheck } from './operators.js'

/** PEM of the server's certificate and key, and of the operator CA; read anew at each call. */
export type ReadTls = () => Pick<HttpsOptions, 'cert' | 'key' | 'ca'>

export interface AdminServerOptions {
  readonly handler: AdminHandler
  readonly log: Log
  readonly socketPath: string
  /** Off when undefined. `hosts` empty: the address itself and localhost, with the port. */
  readonly https?: {
    readonly host: string, readonly port: number, readonly readTls: ReadTls, readonly operators: OperatorCheck
    readonly hosts: readonly string[], readonly corsOrigins: readonly string[]
  } | undefined
}

/** The operator API on its Unix socket and, if configured, on HTTPS. */
export class AdminServer {
  readonly #servers: Server[] = []
  #https: HttpsListener | undefined

  private constructor (private readonly options: AdminServerOptions) {}

  /** @throws KmeError `PORT_TAKEN`, `CONFIG_INVALID`, `CERTIFICATE_INVALID`; nothing is left open then. */
  static async start (options: AdminServerOptions): Promise<AdminServer> {
    const server = new AdminServer(options)
    try {
      server.#servers.push(await listenUnix(options.socketPath, server.#listener({
        from: 'socket', guard: { hosts: ['localhost'], corsOrigins: [] }, identify: () => socketOperator,
      })))
      if (options.https !== undefined) await server.#startHttps(options.https)
    } catch (error) {
      server.close()
      throw error
    }
    return server
  }

  /** Port of the HTTPS listener; undefined if it is off. */
  get port (): number | undefined { return this.#https?.port }

  /** Takes certificate and key from their files again. @throws KmeError `CERTIFICATE_INVALID`; the old ones stay. */
  renew (): void {
    if (this.#https !== undefined && this.options.https !== undefined) this.#https.renew(this.options.https.readTls())
  }

  /** Takes no new connections; resolves when every request under way is answered. */
  async drain (): Promise<void> {
    for (const server of this.#servers) {
      server.close()
      server.closeIdleConnections()
    }
    await this.options.handler.idle()
  }

  /** Ends every connection. */
  close (): void {
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections()
    }
  }

  async #startHttps (https: NonNullable<AdminServerOptions['https']>): Promise<void> {
    // Filled when the port is known; nothing is accepted before.
    const hosts: string[] = https.hosts.map((host) => host.toLowerCase())
    const identify = (request: IncomingMessage) => {
      const result = https.operators(clientPem(request))
      if ('refused' in result) throw new KmeError('UNAUTHORIZED', result.refused)
      return result.operator
    }
    this.#https = await listenHttps({
      host: https.host, port: https.port, ...https.readTls(), onRefused: (reason, address) => {
        this.options.log.security({
          category: 'certificate', severity: 'medium', event: 'operator.handshake', subject: address, outcome: 'refused', fields: { reason },
        })
      },
    }, this.#listener({ from: 'https', guard: { hosts, corsOrigins: https.corsOrigins }, identify }))
    if (hosts.length === 0) hosts.push(`${https.host}:${this.#https.port}`.toLowerCase(), `localhost:${this.#https.port}`)
    this.#servers.push(this.#https.server)
  }

  #listener (entrance: Entrance): (request: IncomingMessage, response: ServerResponse) => void {
    return (request, response) => { void this.options.handler.handle(entrance, request, response) }
  }
}
