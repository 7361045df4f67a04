/** OCSP as configured, over real ports: two KMEs ask one responder about SAEs and about each other. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { AlertView, PeerView } from '../../src/admin/port.js'
import { caPaths } from '../../src/crypto/pki-files.js'
import { answerTo, serialAsked } from '../crypto/ocsp-answer.js'
import { eventually, pause } from './process.js'
import { idsOf, type Sae } from './sae.js'
import { World, type Kme } from './world.js'

/** Answers are short-lived, so that they are asked for again while the test looks. */
const ANSWER_MS = 4_000

/** A responder for the CAs of a world: `POST /sae`, `POST /kme`. */
class Responder {
  readonly revoked = new Set<string>()
  isDown = false
  private constructor (private readonly folder: () => string) {}
  url = ''

  static async start (folder: () => string): Promise<Responder> {
    const responder = new Responder(folder)
    const server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        if (responder.isDown) { response.writeHead(503).end(); return }
        response.end(responder.answer(request.url === '/kme' ? 'kme' : 'sae', Buffer.concat(parts)))
      })
    })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => { server.closeAllConnections(); server.close() })
    responder.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return responder
  }

  private answer (ca: 'sae' | 'kme', der: Buffer): Uint8Array {
    const paths = caPaths(this.folder(), ca), pem = readFileSync(paths.certificate, 'utf8'), nowMs = Date.now()
    const status = this.revoked.has(serialAsked(der)) ? 'revoked' : 'good'
    return answerTo(der, { status, thisUpdateMs: nowMs - 60_000, nextUpdateMs: nowMs + ANSWER_MS }, { pem, key: createPrivateKey(readFileSync(paths.key)), raw: new X509Certificate(pem).raw }, nowMs)
  }
}

const serialOf = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber.toLowerCase().replace(/^0+/, '')

let world: World | undefined
const responder = await Responder.start(() => world!.pki.folder)
// A refuses without an answer, B lets pass.
world = await World.create({
  tls: (site, role) => ({ crlRequired: false, ocsp: { mode: site === 'a' ? 'hard' : 'soft', url: `${responder.url}/${role}`, cacheMs: 10_000, timeoutMs: 5_000 } }),
})
const { kmes } = world
t.teardown(() => world!.dispose())
responder.revoked.add(serialOf(world.file('pki/sae/sae-a-2/client.crt')))
await world.start(100_000)
const a1 = world.sae('sae-a-1', 'a'), b1 = world.sae('sae-b-1', 'b')

/** The status of the last answer when it is the awaited one. */
const answers = (sae: Sae, other: string, status: number): Promise<true> =>
  eventually(`${sae.id} gets ${status}`, async () => (await sae.status(other)).status === status ? true : undefined)
/** A line comes when its writer gets to it, which may be after what it tells of was seen elsewhere. */
const logged = (kme: Kme, line: RegExp): Promise<true> => eventually(`${kme.id} logs ${String(line)}`, () => line.test(kme.child.log) || undefined, 60_000, () => kme.tail())
const alerts = async (kme: Kme): Promise<string[]> => (await kme.admin.get('/v1/alerts') as AlertView[]).filter(({ active }) => active).map(({ id, subject }) => `${id} ${subject}`)

t.test('certificates that the responder calls good work as ever, and revoked ones do not, in either mode', async (t) => {
  const keys = await a1.take('sae-b-1', { number: 2 })
  t.same(await b1.fetch('sae-a-1', idsOf(keys)), keys)
  await answers(world!.sae('sae-a-2', 'a'), 'sae-b-1', 401)
  responder.revoked.add(serialOf(world!.file('pki/sae/sae-b-2/client.crt')))
  await answers(world!.sae('sae-b-2', 'b'), 'sae-a-1', 401)
  await logged(kmes.a, /"reason":"revoked"[^\n]*"message":"authentication.failed"/)
  t.same([...await alerts(kmes.a), ...await alerts(kmes.b)].filter((alert) => alert.startsWith('certificate')), [])
  for (const kme of [kmes.a, kmes.b]) await eventually(`${kme.id} has nothing to tell`, async () => (await alerts(kme)).length === 0 ? true : undefined)
})

t.test('a responder that is away: hard refuses newcomers, at first with 503, soft lets them pass; both tell', async (t) => {
  await world!.issue({ profile: 'sae', id: 'sae-a-1', renew: true })
  await world!.issue({ profile: 'sae', id: 'sae-b-1', renew: true })
  responder.isDown = true
  const newA = world!.sae('sae-a-1', 'a'), newB = world!.sae('sae-b-1', 'b')
  const first = await newA.status('sae-b-1')
  t.match([first.status, first.headers['retry-after'], first.text], [503, '1', /revocation status/])
  await answers(newA, 'sae-b-1', 401)
  t.equal((await newB.status('sae-a-1')).status, 200)
  for (const kme of [kmes.a, kmes.b]) {
    await eventually(`${kme.id} raises the alert`, async () => (await alerts(kme)).some((alert) => alert.startsWith('certificate.ocsp') && alert.includes('/sae')) ? true : undefined)
    await logged(kme, /status 503"[^\n]*\/sae of saes"[^\n]*"message":"trust.ocspFailed"/)
  }
  responder.isDown = false
  await answers(newA, 'sae-b-1', 200)
})

t.test('the certificate of a KME that is revoked while it is connected: the connection ends and stays ended', async (t) => {
  const stateOf = async (): Promise<string | undefined> => (await kmes.a.admin.get('/v1/peers') as PeerView[])[0]?.state
  await eventually('connected, though the responder was away', async () => await stateOf() === 'ready' ? true : undefined)
  responder.revoked.add(serialOf(world!.file('pki/kme/kme-b/peer.crt')))
  await logged(kmes.a, /CN=kme-b[^\n]* is revoked, says the OCSP responder[^\n]*"message":"peer.certificate"/)
  await eventually('the connection ends', async () => await stateOf() !== 'ready' ? true : undefined)
  for (let i = 0; i < 20; i++) { // kme-b dials again meanwhile.
    await pause(50)
    t.not(await stateOf(), 'ready')
  }
})
