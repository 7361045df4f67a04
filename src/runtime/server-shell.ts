import { fromCallback } from 'xstate'
import type { ServerCommand, ServerReport } from '../../machines/server.js'
import { KmeError } from '../kernel/errors.js'

/** A server as its actor sees it. Each start makes a new one. */
export interface RunningServer {
  /** Address and port, for people. */
  readonly where: string
  /** Takes certificates and CRLs from their files again. @throws KmeError; the old ones stay. */
  reload (): void | Promise<void>
  /** No new requests; resolves when those under way are answered. */
  drain (): Promise<void>
  /** Ends every connection. Must not throw. */
  close (): void
}

/** Starts it; `onFailure` tells that it does not serve any more. @throws KmeError when it cannot start. */
export type StartServer = (onFailure: (error: unknown) => void) => Promise<RunningServer>

const failed = (error: unknown): ServerReport => ({
  type: 'server.failed', code: error instanceof KmeError ? error.code : 'INTERNAL', reason: error instanceof Error ? error.message : 'unknown reason',
})

/** The `listener` actor of machines/server.ts, for the REST and the admin server alike. */
export const createServerListener = (start: StartServer) => fromCallback<ServerCommand, { server: string }>(({ sendBack, receive }) => {
  let server: RunningServer | undefined
  let isOver = false
  const tell = (event: ServerReport): void => { if (!isOver) sendBack(event) }
  const settle = (work: () => void | Promise<void>, done: ServerReport, wrong: (error: unknown) => ServerReport): void => {
    Promise.resolve().then(work).then(() => { tell(done) }, (error: unknown) => { tell(wrong(error)) })
  }

  start((error) => { tell(failed(error)) }).then((running) => {
    if (isOver) { running.close(); return } // Stopped while it was starting.
    server = running
    tell({ type: 'server.listening', where: running.where })
  }, (error: unknown) => { tell(failed(error)) })

  receive((command) => {
    const running = server
    if (running === undefined) return // Commands come after `listening` only.
    if (command.type === 'server.drain') settle(() => running.drain(), { type: 'server.drained' }, failed)
    else {
      settle(() => running.reload(), { type: 'server.reloaded' },
        (error) => ({ type: 'server.reloadFailed', reason: error instanceof Error ? error.message : 'unknown reason' }))
    }
  })
  return () => {
    isOver = true
    server?.close()
  }
})
