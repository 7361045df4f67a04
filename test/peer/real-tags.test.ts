import t from 'tap'
import { samples } from './desk.js'
import { RealVault } from './real-vault.js'
import { polyHash, ReferenceVault } from './reference-tag.js'
import { makePair, pump, readyPair } from './rig.js'

t.test('the addon and the definition make the same tags', async (t) => {
  const secret = Uint8Array.from({ length: 16_384 }, (_, i) => i * 31 + (i >> 8))
  const real = new RealVault(), reference = new ReferenceVault()
  const block = real.addBlock(secret), model = reference.addBlock(secret)
  const realKey = real.takeHashKey(block, 16), modelKey = reference.takeHashKey(model, 16)
  for (const [i, length] of [0, 1, 15, 16, 17, 42, 300, 4_096, 70_000].entries()) {
    const data = Uint8Array.from({ length }, (_, j) => j * 7 + i), offset = 3_936 + 16 * i
    const tag = new Uint8Array(16), again = new Uint8Array(16)
    real.tag(realKey, block, offset, data, tag)
    reference.tag(modelKey, model, offset, data, again)
    t.same(tag, again, `${length} bytes, pad at ${offset}`)
    t.same(tag, polyHash(secret.subarray(16, 32), data).map((byte, j) => byte ^ (secret[offset + j] as number)))
  }
})

t.test('a connection over the addon: all messages, and a changed bit is refused', async (t) => {
  const { a, b } = readyPair({ vaults: [new RealVault(), new RealVault()] })
  for (const [name, body] of Object.entries(samples)) {
    a.desk.send(name as keyof typeof samples, body)
    b.desk.send(name as keyof typeof samples, body)
  }
  pump({ a, b })
  t.same([a.desk.got.length, b.desk.got.length], [7, 7])
  a.desk.send('horizon', samples.horizon)
  const frame = a.pipe.next()
  const changed = frame.slice()
  changed[frame.length - 1] = (changed[frame.length - 1] as number) ^ 1
  b.channel.receive(changed)
  t.same([b.pipe.closedWith?.reason, b.desk.got.length], ['tag', 7])
})

t.test('one side on the addon, the other on the definition', async (t) => {
  const { a, b } = makePair({ vaults: [new RealVault(), new ReferenceVault()] })
  a.channel.start()
  b.channel.receive(a.pipe.next())
  a.channel.receive(b.pipe.next())
  for (let i = 0; i < 100; i++) {
    a.desk.send('horizon', { ...samples.horizon, from: i })
    b.desk.send('horizon', { ...samples.horizon, blocks: Array.from({ length: 1 + i % 64 }, (_, number) => number) })
  }
  pump({ a, b })
  t.same([a.desk.got.length, b.desk.got.length, a.ends, b.ends], [100, 100, [], []])
})
