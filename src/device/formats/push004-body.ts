/** Bodies of ETSI GS QKD 004 over HTTPS as devices push them, read as bytes: key stays in the buffer. Pure. */
import { JsonFault, member, plainText, readJson, wholeNumber, type JsonNode, type TextAt } from './json-bytes.js'
import { uuidBytes } from './uuid.js'

export interface KeyMaterial {
  /** 16 bytes of the key stream's ID. */
  readonly stream: Uint8Array
  readonly index: number
  /** Where the chunk's base64 stands. */
  readonly key: TextAt
}

/** Quality of service as clause 2.3 of the standard names it; what is missing is 0. */
export interface Qos { readonly keyChunkBytes: number, readonly maxBps: number, readonly minBps: number, readonly jitter: number, readonly priority: number, readonly timeoutMs: number, readonly ttlS: number }
export interface OpenConnect { readonly source: string, readonly destination: string, readonly stream: Uint8Array | undefined, readonly qos: Qos }

const U32 = 0xffff_ffff

const streamOf = (bytes: Uint8Array, node: JsonNode | undefined): Uint8Array | undefined => uuidBytes(plainText(bytes, node, 36) ?? '')

/** The stream's ID stands in the body itself or in its metadata. @throws JsonFault */
export const readKeyMaterial = (bytes: Uint8Array): KeyMaterial => {
  const body = readJson(bytes)
  const buffer = member(member(body, 'metadata'), 'buffer') ?? member(member(body, 'metadata'), 'Metadata_buffer')
  const stream = streamOf(bytes, member(body, 'key_stream_id')) ?? streamOf(bytes, member(buffer, 'key_stream_id'))
  const index = wholeNumber(member(body, 'index'), U32), key = member(body, 'key_buffer')
  if (stream === undefined) throw new JsonFault('no key_stream_id that is a UUID')
  if (index === undefined) throw new JsonFault('no index from 0 to 4294967295')
  if (key?.type !== 'text') throw new JsonFault('no key_buffer in base64')
  return { stream, index, key: key.at }
}

/** @throws JsonFault */
export const readOpenConnect = (bytes: Uint8Array): OpenConnect => {
  const body = readJson(bytes), qos = member(body, 'qos')
  const source = plainText(bytes, member(body, 'source')), destination = plainText(bytes, member(body, 'destination'))
  if (source === undefined || destination === undefined) throw new JsonFault('no source and destination')
  const id = member(body, 'key_stream_id'), stream = streamOf(bytes, id)
  const isNull = id === undefined || (id.type === 'other' && id.value === null) || stream?.every((b) => b === 0) === true
  if (!isNull && stream === undefined) throw new JsonFault('key_stream_id is no UUID')
  const number = (name: string): number => {
    const node = member(qos, name), value = wholeNumber(node, U32)
    if (node !== undefined && value === undefined) throw new JsonFault(`qos.${name} is no whole number of 32 bits`)
    return value ?? 0
  }
  return {
    source, destination, stream: isNull ? undefined : stream,
    qos: { keyChunkBytes: number('key_chunk_size'), maxBps: number('max_bps'), minBps: number('min_bps'), jitter: number('jitter'), priority: number('priority'), timeoutMs: number('timeout'), ttlS: number('ttl') },
  }
}

/** The ID of the stream that is closed. @throws JsonFault */
export const readClose = (bytes: Uint8Array): Uint8Array => {
  const stream = streamOf(bytes, member(readJson(bytes), 'key_stream_id'))
  if (stream === undefined) throw new JsonFault('no key_stream_id that is a UUID')
  return stream
}

/** The answer of a device to open-connect. @throws JsonFault */
export const readOpened = (bytes: Uint8Array): { readonly status: number, readonly stream: Uint8Array | undefined } => {
  const body = readJson(bytes), status = wholeNumber(member(body, 'status'), U32)
  if (status === undefined) throw new JsonFault('no status')
  return { status, stream: streamOf(bytes, member(body, 'key_stream_id')) }
}
