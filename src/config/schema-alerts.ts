import { Type } from '@sinclair/typebox'
import { severities } from '../kernel/log.js'
import { choice, group, integer, optionalGroup, path, text } from './setting.js'

export const alertsSchema = group('Sending alerts on. They stand in the log and at GET /v1/alerts whatever is set here.', {
  minSeverity: choice('Alerts below this severity are not sent on.', severities, { default: 'info' }),
  webhook: optionalGroup('POSTs each alert, when it begins and when it ends, as JSON over HTTPS.', {
    url: text('Where to: https://host/path, without a password.', { pattern: '^https://[^/?#@\\s]+(/[^#@\\s]*)?$', patternWords: 'https://host/path without a password' }),
    ca: Type.Optional(path('PEM file with the CA of the receiver if it is not a public one. Read for each alert.')),
    tokenFile: Type.Optional(path('File whose first line is sent as "Authorization: Bearer …", mode 0600. Read for each alert.', { secret: true })),
    timeoutMs: integer('A receiver that does not answer by then is tried again later.', { minimum: 100, maximum: 60_000, default: 5_000, unit: 'ms' }),
  }),
  syslog: optionalGroup('Sends each alert to syslog (RFC 5424), over UDP to a host, or over a Unix stream socket. Exactly one of the two.', {
    host: Type.Optional(text('Host that takes syslog over UDP.', { maxLength: 255 })),
    port: integer('Its UDP port.', { minimum: 1, maximum: 65_535, default: 514 }),
    socket: Type.Optional(text('Absolute path of a Unix stream socket.', { maxLength: 107, pattern: '^/[^\\u0000]+$', patternWords: 'an absolute path of at most 107 bytes' })),
  }),
})
