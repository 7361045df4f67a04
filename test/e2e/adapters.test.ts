/** Two KMEs whose devices are not rings: first key of a slow link, and devices that act as KMEs. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { uuidText } from '../../src/device/formats/uuid.js'
import { Fake014 } from '../device/fake-014.js'
import { eventually } from './process.js'
import { World } from './world.js'

const uuid = (n: number): Buffer => createHash('sha256').update(`key ${n}`).digest().subarray(0, 16)

const exchange = async (world: World, timeoutMs: number): Promise<void> => {
  const master = world.sae('sae-a-1', 'a'), slave = world.sae('sae-b-1', 'b')
  const seen: Record<string, unknown> = {}
  const look = async (): Promise<void> => {
    for (const site of ['a', 'b'] as const) seen[site] = [await world.kmes[site].link(), await world.kmes[site].device(), (await world.kmes[site].pool(site === 'a' ? 'kme-b' : 'kme-a'))?.stockBits]
  }
  const [key] = await eventually('a key for the master', async () => {
    await look()
    const reply = await master.enc('sae-b-1', { number: 1, size: 256 }).catch(() => undefined)
    return reply?.status === 200 ? (reply.json() as { keys: { key_ID: string, key: string }[] }).keys : undefined
  }, timeoutMs, () => JSON.stringify(seen) + world.kmes.a.tail())
  const [fetched] = await slave.fetch('sae-a-1', [key!.key_ID])
  if (fetched?.key !== key!.key) throw new Error('the slave got another key')
}

/** What a link of 1 kbit/s gives in a minute. No more come: who needs more never gets its key. */
const RECORDS_MAX = Math.floor(60_000 / 256)

t.test('a link of 1 kbit/s delivers its first key within a minute: out of as many records of 32 bytes', { timeout: 120_000 }, async (t) => {
  const world = await World.create({ link: (site, file) => ({ recordFile: { path: file(`${site}.records`), scanMs: 200 } }) })
  t.teardown(() => world.dispose())
  for (const site of ['a', 'b']) writeFileSync(world.file(`${site}.records`), '')
  world.kmes.a.start()
  world.kmes.b.start()
  for (const kme of [world.kmes.a, world.kmes.b]) await eventually(`the device of ${kme.id} is there`, async () => (await kme.device())?.state !== undefined ? true : undefined, 60_000, () => kme.tail())
  let n = 0
  const started = process.hrtime.bigint()
  const timer = setInterval(() => {
    if (n >= RECORDS_MAX) return
    const record = Buffer.concat([uuid(n++), randomBytes(32)])
    for (const site of ['a', 'b']) appendFileSync(world.file(`${site}.records`), record)
  }, 64) // Four times as fast as such a link, so that the test is short; it is the number of records that counts.
  t.teardown(() => { clearInterval(timer) })
  await exchange(world, 90_000)
  const seconds = Number(process.hrtime.bigint() - started) / 1e9
  t.comment(`first key after ${seconds.toFixed(1)} s and ${n} records`)
  t.ok(n <= RECORDS_MAX, `${n} records were enough`)
  t.equal((await world.kmes.a.account()).differenceBits, 0)
})

t.test('devices that act as KMEs: one end takes keys, the other fetches the same by what is proposed', { timeout: 150_000 }, async (t) => {
  const fakes: Partial<Record<'a' | 'b', Fake014>> = {}
  const world = await World.create({
    link: (site, file) => ({ pull014: { url: `https://127.0.0.1:${fakes[site]!.port}`, remoteSaeId: 'the-other', pollMs: 100, tls: { certificate: file(`pki/kme/kme-${site}/peer.crt`), key: file(`pki/kme/kme-${site}/peer.key`), ca: file('pki/kme-ca.crt') } } }),
    before: async (world) => {
      await world.issue({ profile: 'kme-peer', id: 'device' })
      const tls = { certificate: world.file('pki/kme/device/peer.crt'), key: world.file('pki/kme/device/peer.key'), ca: world.file('pki/kme-ca.crt') }
      for (const site of ['a', 'b'] as const) fakes[site] = await new Fake014(tls).listen()
    },
  })
  t.teardown(async () => { await world.dispose(); for (const fake of Object.values(fakes)) await fake.close() })
  for (let n = 0; n < 2_000; n++) {
    const id = uuidText(uuid(n)), key = randomBytes(32).toString('base64')
    fakes.a!.queue.push({ id, key })
    fakes.b!.known.set(id, key)
  }
  world.kmes.a.start()
  world.kmes.b.start()
  await exchange(world, 120_000)
  t.equal(fakes.b!.asked.filter(({ path }) => path.endsWith('enc_keys')).length, 0, 'the looker took nothing new')
  t.ok(fakes.b!.asked.some(({ path }) => path.endsWith('dec_keys')))
})
