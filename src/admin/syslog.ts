import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Severity } from '../kernel/log.js'
import type { Deliver } from './alert-queue.js'
import type { AlertView } from './port.js'

/**
 * Where syslog listens: UDP (RFC 5426), or a Unix stream socket with octet counting (RFC 6587). Node has no Unix datagram
 * sockets, so /dev/log is reached by letting the collector listen on UDP at the loopback address.
 */
export type SyslogTarget =
  | { readonly type: 'udp', readonly host: string, readonly port: number }
  | { readonly type: 'unix', readonly path: string }

export interface SyslogOptions { readonly target: SyslogTarget, readonly host: string, readonly kme: string, readonly processId: number }

/** Facility 10: security and authorisation (RFC 5424, table 1). */
const FACILITY = 10
const priorities: Readonly<Record<Severity, number>> = { info: 6, low: 5, medium: 4, high: 3, critical: 2 }
const MESSAGE_BYTES_MAX = 2_048

/** A header field: printable ASCII without spaces, `-` when empty. */
const headerField = (text: string, max: number): string => text.replace(/[^\x21-\x7e]/g, '_').slice(0, max) || '-'
/** A value of structured data: three characters are escaped (RFC 5424, 6.3.3); line breaks would split a stream. */
const paramValue = (text: string): string => text.replace(/[\\"\]]/g, '\\$&').replace(/[\u0000-\u001f\u007f]/g, ' ')

/**
 * One alert as an RFC 5424 message: kind as MSGID, kind, subject, severity and state as structured data. The end of an
 * alert has the severity of a notice. 32473 is the example enterprise number of RFC 5612.
 */
export const syslogMessage = (alert: AlertView, options: Pick<SyslogOptions, 'host' | 'kme' | 'processId'>): string => {
  const priority = FACILITY * 8 + (alert.active ? priorities[alert.severity] : 5)
  const when = alert.clearedAt ?? alert.since
  const data = Object.entries({ kme: options.kme, subject: alert.subject, severity: alert.severity, active: String(alert.active), count: String(alert.count) })
    .map(([name, value]) => `${name}="${paramValue(value)}"`).join(' ')
  const text = paramValue(alert.message).slice(0, 1_000)
  return `<${priority}>1 ${when} ${headerField(options.host, 255)} qkme ${options.processId} ${headerField(alert.id, 32)} [alert@32473 ${data}] \ufeff${text}`
}

const overUdp = (host: string, port: number, bytes: Buffer): Promise<void> => new Promise((resolve, reject) => {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  socket.once('error', (error) => { socket.close(); reject(error) })
  socket.send(bytes, port, host, (error) => {
    socket.close()
    if (error === null) resolve(); else reject(error)
  })
})

const overUnix = (path: string, bytes: Buffer): Promise<void> => new Promise((resolve, reject) => {
  const socket = connect(path)
  socket.setTimeout(5_000, () => { socket.destroy(new Error('the syslog socket does not take the message')) })
  socket.once('error', reject)
  socket.once('close', (hadError) => { if (!hadError) resolve() })
  socket.once('connect', () => { socket.end(Buffer.concat([Buffer.from(`${bytes.length} `), bytes])) })
  socket.resume()
})

/** Sends each alert to syslog. UDP tells nothing about arrival: only what fails here is tried again. */
export const createSyslog = (options: SyslogOptions): Deliver => async (alert) => {
  const bytes = Buffer.from(syslogMessage(alert, options)).subarray(0, MESSAGE_BYTES_MAX)
  const { target } = options
  await (target.type === 'udp' ? overUdp(target.host, target.port, bytes) : overUnix(target.path, bytes))
}
