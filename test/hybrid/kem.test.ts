import { createHash } from 'node:crypto'
import t from 'tap'
import { decapsulate, encapsulate, KEM_BYTES, newKemPair } from '../../src/hybrid/kem.js'

/** The output of SHAKE-128 without input, piece by piece: what the known answers are made from. */
const makeStream = (length: number): (bytes: number) => Uint8Array => {
  const all = createHash('shake128', { outputLength: length }).digest()
  let at = 0
  return (bytes) => Uint8Array.from(all.subarray(at, at += bytes))
}

t.test('a hundred exchanges come out as the known answers say: keys, ciphertexts, secrets, and those of ciphertexts that are none', async (t) => {
  // The accumulated vector of C2SP/CCTV for the final FIPS 203 (ML-KEM-768, 100 rounds), which several libraries agree on.
  const rounds = 100
  const next = makeStream(rounds * (KEM_BYTES.seed + KEM_BYTES.message + KEM_BYTES.ciphertext))
  const sum = createHash('shake128', { outputLength: 32 })
  for (let i = 0; i < rounds; i++) {
    const { publicKey, secretKey } = newKemPair(next(KEM_BYTES.seed))
    const { ciphertext, secret } = encapsulate(publicKey, next(KEM_BYTES.message))
    if (!Buffer.from(decapsulate(ciphertext, secretKey)).equals(secret)) t.fail(`round ${i}: the ends differ`)
    sum.update(publicKey).update(ciphertext).update(secret).update(decapsulate(next(KEM_BYTES.ciphertext), secretKey))
  }
  t.equal(sum.digest('hex'), '1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415')
})

t.test('sizes are those of the standard, and what a secret was made from is wiped', async (t) => {
  const message = new Uint8Array(32).fill(7)
  const { publicKey, secretKey } = newKemPair(new Uint8Array(64).fill(3))
  const { ciphertext, secret } = encapsulate(publicKey, message)
  t.same([publicKey.length, secretKey.length, ciphertext.length, secret.length], [KEM_BYTES.publicKey, KEM_BYTES.secretKey, KEM_BYTES.ciphertext, KEM_BYTES.secret])
  t.same(message, new Uint8Array(32))
})

t.test('a changed ciphertext gives another secret and no error; another one each time', async (t) => {
  const seed = new Uint8Array(64).fill(3)
  const { publicKey, secretKey } = newKemPair(seed)
  t.same(seed, new Uint8Array(64), 'the seed is wiped')
  const { ciphertext, secret } = encapsulate(publicKey, new Uint8Array(32).fill(1))
  const seen = new Set([Buffer.from(secret).toString('hex')])
  for (const at of [0, 500, 1_087]) seen.add(Buffer.from(decapsulate(ciphertext.map((byte, i) => i === at ? byte ^ 1 : byte), secretKey)).toString('hex'))
  t.equal(seen.size, 4)
})

t.test('a public key whose numbers are not reduced is refused', async (t) => {
  const { publicKey } = newKemPair(new Uint8Array(64).fill(3))
  const message = new Uint8Array(32).fill(9)
  t.throws(() => encapsulate(publicKey.map((byte, i) => i < 3 ? 0xff : byte), message), { code: 'PROTOCOL' })
  t.same(message, new Uint8Array(32))
})
