/** A PKI, a stand-in for a KME's REST side over real mutual TLS, and ways to run the command line. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { runProgram } from '../../src/cli/program.js'
import { createPki, issueCertificate, type IssueRequest, type Issued, type PkiContext } from '../../src/crypto/pki.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { projectFolder, shortFolder } from '../config/examples.js'

export interface World { readonly folder: string, readonly pki: PkiContext, readonly saeCa: string, readonly kmeCa: string, issue (request: IssueRequest): Promise<Issued> }

export const createWorld = async (t: Test): Promise<World> => {
  const folder = shortFolder(t)
  const pki = { folder: join(folder, 'pki'), clock: systemClock, random: systemRandom }
  await createPki(pki)
  return { folder, pki, saeCa: join(folder, 'pki/sae-ca.crt'), kmeCa: join(folder, 'pki/kme-ca.crt'), issue: (request) => issueCertificate(pki, request) }
}

export type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void

export const listen = async (t: Test, server: Server, at: { port: number, host: string } | { path: string }): Promise<number> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => { sockets.add(socket); socket.on('error', () => {}) })
  await new Promise<void>((resolve) => { server.listen(at, resolve) })
  t.teardown(() => new Promise<void>((resolve) => { server.close(() => { resolve() }); for (const socket of sockets) socket.destroy() }))
  return 'path' in at ? 0 : (server.address() as AddressInfo).port
}

const collect = (handler: Handler) => (request: IncomingMessage, response: ServerResponse): void => {
  let body = ''
  request.on('data', (part: Buffer) => { body += part.toString() })
  request.on('end', () => { handler(request, body, response) })
}

/** @returns the port. */
export const startKme = (t: Test, world: World, server: Issued, handler: Handler, options: ServerOptions = {}): Promise<number> => listen(t, createServer({
  cert: readFileSync(server.certificate), key: readFileSync(server.key), ca: readFileSync(world.saeCa), requestCert: true, rejectUnauthorized: true, ...options,
}, collect(handler)), { port: 0, host: '127.0.0.1' })

/** An admin side on a Unix socket. */
export const startAdmin = (t: Test, path: string, handler: Handler): Promise<number> => listen(t, createHttpServer(collect(handler)), { path })

export const answer = (response: ServerResponse, status: number, body?: unknown, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(body === undefined ? '' : JSON.stringify(body))
}

export interface Run { readonly code: number, readonly out: string, readonly err: string, json (): any }

/** Runs the command line in this process, which is much faster: everything but qkme.ts itself. */
export const run = async (folder: string, args: readonly string[], variables: Record<string, string> = {}): Promise<Run> => {
  let out = '', err = ''
  const code = await runProgram(args, {
    clock: systemClock, random: systemRandom, streams: { out: (text) => { out += text }, err: (text) => { err += text } },
    variables, workingFolder: folder, version: '0.0.0', exit: { code: 0 },
  })
  return { code, out, err, json: () => JSON.parse(out) as unknown }
}

/** Runs dist/src/cli/qkme.js as a process. */
export const qkme = (folder: string, args: readonly string[], variables: Record<string, string> = {}): Promise<Run> => new Promise((resolve) => {
  execFile(process.execPath, [join(projectFolder, 'dist/src/cli/qkme.js'), ...args], { cwd: folder, env: { PATH: '/usr/bin:/bin', ...variables } }, (error, out, err) => {
    const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
    resolve({ code, out, err, json: () => JSON.parse(out) as unknown })
  })
})
