import { Type } from '@sinclair/typebox'
import { pciDevices } from './schema-pci.js'
import { choice, entity, flag, fraction, group, integer, optionalGroup, path, text } from './setting.js'

const ms = (description: string, byDefault: number, minimum: number, maximum: number) => integer(description, { minimum, maximum, default: byDefault, unit: 'ms' })

const portOf = (description: string) => integer(description, { minimum: 0, maximum: 65_535 })

/** TLS between this KME and a device that is a service of its own: both sides show a certificate. */
const deviceTls = (description: string) => group(description, {
  certificate: path('PEM file with this KME\'s certificate towards the device, followed by its intermediates.'),
  key: path('PEM file with its private key, readable by its owner only.', { secret: true }),
  ca: path('PEM file with the CA certificates that the device\'s certificate must come from.'),
})

/** The kinds of devices. A link has exactly one of these groups. */
export const deviceKinds = ['ring', 'corFiles', 'recordFile', 'pull014', 'push004', 'qix', 'pciBar', 'uio', 'vfio', 'xdma'] as const

const devices = {
  ring: optionalGroup('The device writes frames into a ring in shared memory (docs/ring-format.md).', {
    path: path('Socket at which the device gets the ring (kind memory), or the ring\'s own file.'),
    kind: choice('memory: sealed memory that the device gets over the socket `path`; file: a ring file that outlives this process, bells at `path`.bell; device: memory that is a ring already (a PCI resource file), polled.', ['memory', 'file', 'device'], { default: 'memory' }),
    slots: integer('Slots of a ring that qkme makes itself: a power of two.', { minimum: 16, maximum: 65_536, default: 1_024 }),
    macKeyFile: Type.Optional(path('File with the key of the frames\' MAC; without it frames carry only a checksum.', { secret: true })),
  }),
  corFiles: optionalGroup('The device drops files of finished key, with equal names at both ends.', {
    folder: path('Folder that it drops them into. Files that are stored are overwritten with zeros and removed.'),
    suffix: text('Only files whose name ends so are taken; a device that writes under another name and renames is never read half-way.', { default: '.cor', maxLength: 32, pattern: '^\\.[A-Za-z0-9._-]+$', patternWords: 'a dot and letters, digits, dots, underscores or hyphens' }),
    settleMs: ms('A file is taken when its size and time have not changed for this long.', 1_000, 0, 600_000),
    scanMs: ms('How often the folder is looked at even if the system tells of no change.', 1_000, 50, 600_000),
    maxFileBytes: integer('A larger file is refused.', { minimum: 32, maximum: 17_179_869_184, default: 1_073_741_824, unit: 'bytes' }),
  }),
  recordFile: optionalGroup('The device appends records of 48 bytes to a file: key ID (UUID, 16 bytes) and key (32 bytes).', {
    path: path('The file. It may be replaced by a new one at any time; then reading begins anew.'),
    erase: flag('Overwrite records in the file with zeros as soon as they are stored. Needs the right to write it.', true),
    scanMs: ms('How often the file is looked at even if the system tells of no change.', 1_000, 50, 600_000),
  }),
  pull014: optionalGroup('The device acts as a KME: its keys are asked for over ETSI GS QKD 014. One end (the KME with the lower ID) takes new keys, the other fetches the same by their IDs.', {
    url: text('Where it answers: https://host:port, with a path in front of /api/v1 if it has one.', { pattern: '^https://[^/?#@\\s]+(/[^?#@\\s]*)?$', patternWords: 'https://host:port' }),
    remoteSaeId: entity('Name under which its device knows the KME at the other end (an SAE ID for it).'),
    tls: deviceTls('TLS towards the device; it identifies this KME by the certificate.'),
    keySizeBits: integer('Size to ask for; 0 takes the largest that the device offers, up to 31744 bits.', { minimum: 0, maximum: 31_744, default: 0, unit: 'bits' }),
    keysPerRequest: integer('Keys to ask for at once; the device may allow fewer.', { minimum: 1, maximum: 1_024, default: 64, unit: 'keys' }),
    pollMs: ms('Longest wait before a device that had nothing is asked again: waits double up to it from 20 ms.', 1_000, 50, 600_000),
    timeoutMs: ms('A request that is not answered by then is given up.', 10_000, 100, 120_000),
  }),
  push004: optionalGroup('The device pushes key over HTTPS, in the manner of ETSI GS QKD 004.', {
    host: text('Address to listen on for it.', { default: '0.0.0.0' }),
    port: portOf('Port to listen on; 0 takes a free one.'),
    basePath: text('Path in front of /open-connect, /key-material and /close.', { default: '/api/v1/kms/etsi004', minLength: 1, maxLength: 200, pattern: '^/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$', patternWords: 'a path without a slash at its end' }),
    tls: deviceTls('TLS towards the device: our certificate, and the CA of its own.'),
    deviceName: Type.Optional(text('The common name that the device\'s certificate must have; without it any certificate of the CA will do.', { maxLength: 64 })),
    streams: integer('Key streams that may be open at once.', { minimum: 1, maximum: 64, default: 4 }),
    silentMs: ms('A device that has not called for this long counts as gone.', 60_000, 100, 3_600_000),
    deviceUrl: Type.Optional(text('Where the device takes open-connect, get-key and close, if this KME has to start the pushing: https://host:port/path.', { pattern: '^https://[^/?#@\\s]+(/[^?#@\\s]*)?$', patternWords: 'https://host:port/path' })),
    streamId: Type.Optional(text('With deviceUrl: the key stream to open, a UUID that is the same at both ends.', { pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$', patternWords: 'a UUID in lower case' })),
    chunkBytes: integer('With deviceUrl: size of the chunks to ask for.', { minimum: 16, maximum: 3_968, default: 32, unit: 'bytes' }),
  }),
  qix: optionalGroup('The device sends frames of the QIX serial format (key ID, 32 bytes of key, status, CRC32C) over a byte stream.', {
    connect: Type.Optional(text('Where its stream server is: host:port of a TCP server, or the path of a Unix socket or a serial device, which is made raw.', { pattern: '^(/.+|[^/\\s]+:[0-9]{1,5})$', patternWords: 'host:port or an absolute path' })),
    listen: Type.Optional(text('Address to wait for its connection on: host:port or the path of a Unix socket. One of the two.', { pattern: '^(/.+|[^/\\s]+:[0-9]{1,5})$', patternWords: 'host:port or an absolute path' })),
    baud: integer('Speed of a serial device in bits per second; 0 leaves it as it is.', { minimum: 0, maximum: 4_000_000, default: 0, unit: 'per second' }),
    silentMs: ms('A connected device that sends nothing for this time counts as stalled; 0 never.', 0, 0, 3_600_000),
  }),
}

export const linkSchema = Type.Object({
  id: integer('Number of the link, the same at both ends and in the frames of its devices; numbers above belong to the relay.', { minimum: 1, maximum: 0x7fff_ffff }),
  peer: entity('KME at the other end; one of the peers.'),
  ...devices,
  ...pciDevices,
  qber: group('Quantum bit error rate.', {
    warn: fraction('Above it the link is degraded.', { minimum: 0, maximum: 0.5, default: 0.05 }),
    abort: fraction('Above it the link is quarantined.', { minimum: 0, maximum: 0.5, default: 0.11 }),
  }),
}, { additionalProperties: false, description: 'A QKD link that ends at this KME. It has exactly one device: ring, corFiles, recordFile, pull014, push004, qix, pciBar, uio, vfio or xdma.' })
