/** Prints test/vectors/peer-frames.json anew: for a change of the protocol, and then by hand. node dist/test/peer/make-vectors.js */
import { parseFrame } from '../../src/peer/frame.js'
import { sessionId } from '../../src/peer/session.js'
import { SimRandom } from '../../sim/random.js'
import { PAD_BLOCK_BYTES, samples } from './desk.js'
import { makePair } from './rig.js'

const seed = 1
const random = new SimRandom(seed)
const blocks = { dialler: random.bytes(PAD_BLOCK_BYTES), acceptor: random.bytes(PAD_BLOCK_BYTES) }
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const frames: object[] = []

const note = (name: string, from: 'dialler' | 'acceptor', frame: Uint8Array): Uint8Array => {
  const { header: { version: _, bodyBytes: __, ...header }, bodyAt, tagAt } = parseFrame(frame, 2)
  const piece = ({ offset }: { offset: number }): string => hex(blocks[from].subarray(offset, offset + 16))
  const tag = { hashKeyHex: piece(header.hashKey), padHex: piece(header.pad), tagHex: hex(frame.subarray(tagAt)) }
  frames.push({ name, from, header, bodyHex: hex(frame.subarray(bodyAt, tagAt)), frameHex: hex(frame), ...header.tagged ? tag : {} })
  return frame
}

const { a, b } = makePair({ seed })
a.channel.start()
const diallerHello = note('hello', 'dialler', a.pipe.next())
b.channel.receive(diallerHello)
const acceptorHello = note('hello', 'acceptor', b.pipe.next())
a.channel.receive(acceptorHello)
for (const name of ['propose', 'horizon', 'association'] as const) {
  a.desk.send(name, samples[name])
  b.channel.receive(note(name, 'dialler', a.pipe.next()))
}
for (const name of ['stored', 'horizonAck', 'chainHead'] as const) {
  b.desk.send(name, samples[name])
  a.channel.receive(note(name, 'acceptor', b.pipe.next()))
}
const transcript = { offered: 'qkme-peer.2', version: 2, diallerHello, acceptorHello }
process.stdout.write(`${JSON.stringify({
  about: 'One connection of version 2: its frames in order, with what their tags are made of. docs/peer-protocol.md says how.',
  offered: transcript.offered, version: 2,
  sessionFromDiallerHex: hex(sessionId(transcript, false)), sessionFromAcceptorHex: hex(sessionId(transcript, true)), frames,
}, null, 1)}\n`)
