import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually, pause } from './process.js'
import { filesBelow, leaks, type Haystack } from './marks.js'
import { idsOf } from './sae.js'
import { startWorld } from './world.js'

const preload = new URL('heap-on-signal.js', import.meta.url).href

t.test('the search finds a key in each of its forms', async (t) => {
  const key = Buffer.from('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff', 'hex')
  const text = key.toString('base64')
  const of = (bytes: Buffer | string): Haystack[] => [{ name: 'x', bytes: Buffer.from(bytes) }]
  for (const form of [key, key.toString('hex'), key.toString('hex').toUpperCase(), text, key.toString('base64url'), JSON.stringify([...key])]) t.equal(leaks([text], of(Buffer.concat([Buffer.from('..'), Buffer.from(form)]))).length > 0, true)
  t.same(leaks([text], of('nothing')), [])
})

t.test('no key that was delivered is left in logs, files, metrics, errors or the heap', async (t) => {
  const world = await startWorld(t, { node: ['--import', preload], logLevel: 'trace' })
  const a = world.sae('sae-a-1', 'a'), a2 = world.sae('sae-a-2', 'a'), b = world.sae('sae-b-1', 'b')
  const keys: string[] = []
  const errors: Haystack[] = []
  for (const [master, slave, number] of [[a, b, 8], [b, a, 8], [a, a2, 4], [a, b, 1]] as const) {
    const made = await master.take(slave.id, { number })
    keys.push(...made.map(({ key }) => key))
    if (number === 1) continue // One key that nobody fetches.
    await slave.fetch(master.id, idsOf(made))
    for (const reply of [await slave.dec(master.id, idsOf(made)), await slave.dec('sae-x', idsOf(made)), await master.dec(slave.id, idsOf(made)), await master.post(slave.id, { size: 12 })]) {
      t.not(reply.status, 200)
      errors.push({ name: 'error answer', bytes: Buffer.from(`${reply.text}${JSON.stringify(reply.headers)}`) })
    }
  }
  // A connection that stays open holds its last answer until the next one is written: TLS and HTTP below us.
  for (const sae of [a, b, a2]) sae.close()
  await pause(500)
  const metrics = await Promise.all([world.kmes.a, world.kmes.b].map(async ({ admin, id }) => ({ name: `metrics of ${id}`, bytes: Buffer.from(await admin.text('/metrics')) })))
  t.match(metrics[0]!.bytes.toString(), /qkme_/)
  t.same(leaks(keys, metrics), [])
  t.same(leaks(keys, errors), [])

  for (const kme of [world.kmes.a, world.kmes.b]) {
    kme.child.signal('SIGUSR2')
    const file = await eventually('a heap snapshot', () => readdirSync(world.folder).find((name) => name.startsWith(`heap-${kme.child.pid}`)), 60_000)
    await kme.admin.get('/v1/health') // It answers again when the snapshot is written.
    const heap = { name: `heap of ${kme.id}`, bytes: readFileSync(join(world.folder, file)) }
    t.ok(heap.bytes.includes('kme-a'), 'the snapshot holds strings')
    t.same(leaks(keys, [heap]), [])
    rmSync(join(world.folder, file))
  }

  t.ok(world.kmes.a.child.log.length > 1_000)
  t.same(leaks(keys, filesBelow(world.folder)), [], 'logs, store, journal, audit while it runs')
  await Promise.all([world.kmes.a.stop(), world.kmes.b.stop()])
  const left = filesBelow(world.folder)
  t.ok(left.some(({ name }) => name.includes('kme-a-state')))
  t.same(leaks(keys, left), [], 'and after the stop')
})
