import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { frameBytes, parseFrame, writeHeader, type FrameHeader } from '../../src/peer/frame.js'
import { scanBody } from '../../src/peer/msgpack-scan.js'
import { sessionId } from '../../src/peer/session.js'
import { polyHash } from './reference-tag.js'

interface Vector {
  name: string, from: 'dialler' | 'acceptor', header: Omit<FrameHeader, 'version' | 'bodyBytes'>
  bodyHex: string, frameHex: string, hashKeyHex?: string, padHex?: string, tagHex?: string
}
interface Vectors { offered: string, version: number, sessionFromDiallerHex: string, sessionFromAcceptorHex: string, frames: Vector[] }

const root = import.meta.url.includes('/dist/') ? '../../../' : '../../'
const vectors = JSON.parse(readFileSync(new URL(`${root}test/vectors/peer-frames.json`, import.meta.url), 'utf8')) as Vectors
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const frameOf = (from: Vector['from']): Uint8Array => bytes(vectors.frames.find((v) => v.name === 'hello' && v.from === from)?.frameHex ?? '')

t.test('the session ID is SHA-256 of the transcript as the document says', async (t) => {
  const [diallerHello, acceptorHello] = [frameOf('dialler'), frameOf('acceptor')]
  for (const fromAcceptor of [false, true]) {
    const parts = [Buffer.from(vectors.offered), diallerHello, acceptorHello]
    const length = (n: number): Buffer => { const out = Buffer.alloc(4); out.writeUInt32LE(n); return out }
    const byHand = createHash('sha256').update('qkme peer session 1\0').update(Buffer.of(fromAcceptor ? 1 : 0, 2))
    for (const part of parts) byHand.update(length(part.length)).update(part)
    const expected = fromAcceptor ? vectors.sessionFromAcceptorHex : vectors.sessionFromDiallerHex
    t.equal(byHand.digest('hex'), expected)
    t.equal(Buffer.from(sessionId({ offered: vectors.offered, version: 2, diallerHello, acceptorHello }, fromAcceptor)).toString('hex'), expected)
  }
})

t.test('each frame is written and read as in the vectors, and its tag is what P says', async (t) => {
  for (const v of vectors.frames) {
    const frame = bytes(v.frameHex), body = bytes(v.bodyHex)
    const { header, bodyAt, tagAt } = parseFrame(frame, 2)
    t.same(header, { ...v.header, version: 2, bodyBytes: body.length }, v.name)
    const written = new Uint8Array(frameBytes(header))
    written.set(body, writeHeader(header, written))
    t.same(written.subarray(0, tagAt), frame.subarray(0, tagAt))
    t.same(frame.subarray(bodyAt, tagAt), body)
    scanBody(body)
    if (!v.header.tagged) continue
    const session = bytes(v.from === 'dialler' ? vectors.sessionFromDiallerHex : vectors.sessionFromAcceptorHex)
    const pad = bytes(v.padHex ?? '')
    const tag = polyHash(bytes(v.hashKeyHex ?? ''), Buffer.concat([session, frame.subarray(0, tagAt)])).map((byte, i) => byte ^ (pad[i] as number))
    t.same(tag, bytes(v.tagHex ?? ''))
    t.same(frame.subarray(tagAt), tag)
  }
  t.equal(vectors.frames.filter((v) => v.header.tagged).length, 4)
})
