import { connect, createServer, type Server, type Socket } from 'node:net'

/** A line between two KMEs on this machine that can be cut, in one direction or both: TCP passed through. */
export class LineProxy {
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  /** Bytes of the dialler are dropped; those of the acceptor. */
  private deaf = { toAcceptor: false, toDialler: false }

  constructor (private readonly targetPort: number) { this.server = createServer((socket) => { this.join(socket) }) }

  /** @returns the port to dial. */
  listen (): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(0, '127.0.0.1', () => { resolve((this.server.address() as { port: number }).port) })
    })
  }

  /** Nothing passes any more in these directions; connections stay open, as when a cable is pulled. */
  cut (toAcceptor: boolean, toDialler: boolean): void { this.deaf = { toAcceptor, toDialler } }

  /** Passes again. What was lost is lost: connections end, as their TCP would. */
  heal (): void {
    this.deaf = { toAcceptor: false, toDialler: false }
    for (const socket of this.sockets) socket.destroy()
  }

  close (): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private join (dialler: Socket): void {
    const acceptor = connect(this.targetPort, '127.0.0.1')
    const pass = (from: Socket, to: Socket, isDeaf: () => boolean): void => {
      this.sockets.add(from)
      from.on('data', (bytes) => {
        if (isDeaf()) return
        if (!to.write(bytes)) { from.pause(); to.once('drain', () => { from.resume() }) }
      })
      from.on('error', () => { from.destroy() }) // Its close follows.
      from.on('close', () => { this.sockets.delete(from); to.destroy() })
    }
    pass(dialler, acceptor, () => this.deaf.toAcceptor)
    pass(acceptor, dialler, () => this.deaf.toDialler)
  }
}
