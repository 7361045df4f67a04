import { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { id_kp_OCSPSigning as ocspSigning, OCSPResponseStatus } from '@peculiar/asn1-ocsp'
import t, { type Test } from 'tap'
import type { OcspOptions } from '../../src/crypto/ocsp-book.js'
import { openTrustStore, type TrustStore } from '../../src/crypto/trust.js'
import { x509 } from '../../src/crypto/x509.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { make, makeCa, makeSae, nowMs, StillClock, type Made } from './make.js'
import { answerTo, type AnswerShape, type Signer } from './ocsp-answer.js'

const root = await makeCa('SAE root'), other = await makeCa('Other root')
const delegate = await make({ issuer: root, name: 'responder', usages: [ocspSigning] })
const notDelegate = await make({ issuer: root, name: 'no responder' }), foreign = await make({ issuer: other, name: 'foreign', usages: [ocspSigning] })

/** Time enough for any machine; what does not come is seen by what is looked at next. */
const until = async (done: () => boolean): Promise<void> => { for (let i = 0; i < 2_000 && !done(); i++) await pause(5) }

interface Shape extends AnswerShape { by?: Made }

const signerOf = (made: Made): Signer => ({ pem: made.pem, key: KeyObject.from(made.keys.privateKey), raw: made.certificate.node.raw })

/** What a responder would answer to this request. */
const answer = (der: Buffer, { by = root, ...shape }: Shape): Uint8Array => answerTo(der, shape, { ...signerOf(by), isDelegate: by !== root }, nowMs)

const nameOf = (shape: Lab['shape']): string => JSON.stringify(shape, (key, value: unknown) => key === 'by' ? (value as Made).certificate.parsed.subject : value)

class Lab {
  shape: Shape | 'silent' | 'garbage' | 'error' | 'long' = {}
  asked = 0
  faults: (string | undefined)[] = []
  revocations = 0
  constructor (readonly trust: TrustStore, readonly clock: StillClock, readonly url: string) {}

  outcome (made: Made): string {
    const result = this.trust.check(made.pem)
    return result.ok ? result.id : `! ${result.reason}`
  }

  /** Asks, lets the answer come, and asks again. An answer that changes nothing is told as a fault, or its end. */
  async settled (made: Made): Promise<string> {
    const { asked } = this, faults = this.faults.length, before = this.outcome(made)
    await until(() => this.asked > asked)
    if (this.shape === 'silent') this.clock.advance(2_000)
    await until(() => this.faults.length > faults || this.outcome(made) !== before)
    return this.outcome(made)
  }
}

const open = async (t: Test, options: Partial<OcspOptions> = {}, aia = false): Promise<Lab> => {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const { shape } = lab
      lab.asked++
      if (shape === 'silent') return
      if (shape === 'error') { response.writeHead(500).end(); return }
      response.end(shape === 'garbage' ? 'hello' : shape === 'long' ? Buffer.alloc(100_000) : answer(Buffer.concat(parts), shape))
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const caFile = join(t.testdir(), 'ca.pem'), clock = new StillClock()
  writeFileSync(caFile, root.pem)
  const trust = await openTrustStore({
    caFile, crlFiles: [], crlRequired: false, usages: ['clientAuth'], identity: { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true },
    ocsp: { mode: 'hard', url: aia ? undefined : url, timeoutMs: 2_000, cacheMs: 3_600_000, entriesMax: 100, keepsAll: false, random: systemRandom, ...options },
  }, clock)
  const lab = new Lab(trust, clock, url)
  trust.onOcsp({ responder: (_url, error) => { lab.faults.push(error) }, revoked: () => { lab.revocations++ } })
  t.teardown(() => { trust.stop() })
  return lab
}

t.test('hard: only a certificate of which a verified answer says good passes; each wrong answer is told', async (t) => {
  const cases: [string, Lab['shape'], RegExp | undefined][] = [
    ['sae', {}, undefined],
    ['sae', { by: delegate }, undefined],
    ['sae', { nonce: 'none' }, undefined],
    ['sae', { nextUpdateMs: null, thisUpdateMs: nowMs }, undefined],
    ['! revoked', { status: 'revoked' }, undefined],
    ['! ocsp-missing', { status: 'unknown' }, /does not know/],
    ['! ocsp-missing', { nextUpdateMs: nowMs - 1_000 }, /stale/],
    ['! ocsp-missing', { nextUpdateMs: null }, /no nextUpdate/],
    ['! ocsp-missing', { thisUpdateMs: nowMs + 3_600_000 }, /holds only from/],
    ['! ocsp-missing', { by: other }, /signed neither/],
    ['! ocsp-missing', { by: notDelegate }, /signed neither/],
    ['! ocsp-missing', { by: foreign }, /signed neither/],
    ['! ocsp-missing', { tamper: true }, /signed neither/],
    ['! ocsp-missing', { nonce: 'wrong' }, /nonce/],
    ['! ocsp-missing', { aboutOther: true }, /another certificate/],
    ['! ocsp-missing', { code: OCSPResponseStatus.tryLater }, /tryLater/],
    ['! ocsp-missing', 'silent', /no answer within 2000 ms/],
    ['! ocsp-missing', 'garbage', /./],
    ['! ocsp-missing', 'error', /status 500/],
    ['! ocsp-missing', 'long', /longer/],
  ]
  for (const [expected, shape, fault] of cases) {
    const lab = await open(t), made = await makeSae(root, 'sae')
    lab.shape = shape
    t.equal(lab.outcome(made), '! ocsp-pending', 'nothing is known at first sight')
    t.equal(await lab.settled(made), expected, nameOf(shape))
    t.match(lab.faults, fault === undefined ? [] : [fault], nameOf(shape))
    t.equal(lab.asked, 1, 'asked once, by two who came at once')
  }
})

t.test('an answer is renewed before it ends, never outlives nextUpdate, and a revocation voids what was cached', async (t) => {
  const lab = await open(t), made = await makeSae(root, 'sae')
  t.equal(await lab.settled(made), 'sae')
  const first = lab.trust.check(made.pem)
  t.equal(first.ok && first.validUntilMs, nowMs + 600_000)
  const { generation } = lab.trust
  lab.shape = { status: 'revoked', nextUpdateMs: nowMs + 1_200_000 }
  lab.clock.advance(450_000) // Three quarters.
  await until(() => lab.revocations > 0)
  t.equal(lab.outcome(made), '! revoked')
  t.ok(lab.trust.generation > generation, 'verdicts that others keep are void')
  lab.shape = 'error'
  lab.clock.advance(800_000)
  t.equal(await lab.settled(made), '! revoked', 'a revocation stands, whatever the responder does')
})

t.test('soft: without an answer it passes and is told, once, with its end; revoked does not pass', async (t) => {
  const lab = await open(t, { mode: 'soft' }), made = await makeSae(root, 'sae')
  lab.shape = 'error'
  t.equal(await lab.settled(made), 'sae')
  t.same(lab.faults, ['the responder answers with status 500'])
  lab.shape = { status: 'revoked' }
  lab.clock.advance(6_000)
  t.equal(await lab.settled(made), '! revoked')
  t.same(lab.faults, ['the responder answers with status 500', undefined])
})

t.test('the certificate names the responder, when none is configured; without both, hard refuses', async (t) => {
  const lab = await open(t, {}, true)
  const named = await makeSae(root, 'named', { extra: [new x509.AuthorityInfoAccessExtension({ ocsp: [lab.url] })] })
  t.equal(await lab.settled(named), 'named')
  t.equal(lab.asked, 1)
  const bare = await makeSae(root, 'bare')
  await until(() => lab.outcome(bare) !== '! ocsp-pending')
  t.equal(lab.outcome(bare), '! ocsp-missing')
  const stranger = await makeSae(other, 'stranger', { extra: [new x509.AuthorityInfoAccessExtension({ ocsp: [lab.url] })] })
  t.equal(lab.outcome(stranger), '! unknown-issuer')
  await pause(20)
  t.equal(lab.asked, 1, 'nobody is asked for a stranger')
})
