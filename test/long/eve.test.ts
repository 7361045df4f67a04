/** Simulated physics under two real KMEs: an eavesdropper on the fibre, and what everybody sees of her. */
import t from 'tap'
import type { AlertView } from '../../src/admin/port.js'
import { Ledger } from '../crash/ledger.js'
import { eventually } from '../e2e/process.js'
import { idsOf } from '../e2e/sae.js'
import { startWorld } from '../e2e/world.js'

t.setTimeout(260_000)

const world = await startWorld(t, { physics: { preset: 'metro-25km', blockBits: 1_000_000 }, seed: '7', qberAbort: 0.11 }, 20_000)
const a = world.sae('sae-a-1', 'a'), b = world.sae('sae-b-1', 'b')
const sites = [world.kmes.a, world.kmes.b], ledger = new Ledger()

/** A key of each direction: the same bytes at both ends, and none twice. */
const exchange = async (): Promise<void> => {
  for (const [master, slave] of [[a, b], [b, a]] as const) {
    const keys = await master.take(slave.id, { number: 1, size: 256 })
    ledger.cut(master.id, keys)
    ledger.served(slave.id, idsOf(keys), await slave.fetch(master.id, idsOf(keys)))
  }
}

/** Blocks that the simulated link has finished, with key or without. */
const blocks = (): number => world.device.log.split('"event":"block"').length
const ingested = async (): Promise<number> => (await world.kmes.a.account()).pools.find(({ pool }) => pool === 'kme-b')!.bits['ingested']!
const alerts = async (): Promise<AlertView[]> => (await Promise.all(sites.map(async ({ admin }) => await admin.get('/v1/alerts') as AlertView[]))).flat()
const quarantined = async (): Promise<boolean> => (await Promise.all(sites.map((kme) => kme.link()))).every((view) => view?.state === 'quarantined' && view.quarantineCause === 'qber')

t.test('intercept-resend: both KMEs quarantine the link and say so, take no key while she is there, and go on when she leaves', async (t) => {
  await exchange()
  t.match(await world.tell({ cmd: 'eve', attack: 'intercept-resend' }), { ok: true })
  await eventually('quarantine at both ends', async () => await quarantined() ? true : undefined, 60_000, () => world.kmes.a.tail())
  const told = await eventually('an alert of each end', async () => {
    const told = (await alerts()).filter(({ id, active }) => id === 'link.quarantined' && active)
    return told.length >= 2 ? told : undefined
  })
  t.same(told.map(({ severity }) => severity), ['critical', 'critical'], 'an alert at each end')
  const before = await ingested(), from = blocks()
  await eventually('more blocks under Eve', () => Promise.resolve(blocks() >= from + 2 ? true : undefined), 60_000)
  t.equal(await ingested(), before, 'no key of hers is taken')
  t.ok(await quarantined(), 'and the quarantine holds')
  t.match(await world.tell({ cmd: 'eve', attack: 'none' }), { ok: true })
  await eventually('key is taken again', async () => await ingested() > before ? true : undefined, 60_000, () => world.kmes.a.tail())
  await eventually('no alert is left', async () => (await alerts()).some(({ id, active }) => id === 'link.quarantined' && active) ? undefined : true, 60_000)
  await exchange()
  t.same(ledger.faults, [])
})
