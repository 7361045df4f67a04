import t from 'tap'
import { Ledger } from '../crash/ledger.js'
import { qkme } from '../cli/world.js'
import { eventually, pause } from './process.js'
import { idsOf } from './sae.js'
import { startWorld } from './world.js'

const QBER_ABORT = 0.08
const world = await startWorld(t, { seed: 'devices', qberAbort: QBER_ABORT })
const a = world.sae('sae-a-1', 'a'), b = world.sae('sae-b-1', 'b')
const ledger = new Ledger()
const sites = [world.kmes.a, world.kmes.b]

const links = async (state: string): Promise<void> => {
  await eventually(`link ${state}`, async () => {
    const views = await Promise.all(sites.map((kme) => kme.link()))
    return views.every((view) => view?.state === state && view.quarantineCause === null) ? true : undefined
  }, 60_000, () => world.kmes.a.tail())
}

const ingested = async (): Promise<number> => {
  const account = await world.kmes.a.account()
  return account.pools.find(({ pool }) => pool === 'kme-b')!.bits['ingested']!
}

/** Keys in both directions go into the ledger: equal, and no 8 bytes twice. */
const exchange = async (): Promise<void> => {
  for (const [master, slave] of [[a, b], [b, a]] as const) {
    const keys = await master.take(slave.id, { number: 128, size: 512 })
    ledger.cut(master.id, keys)
    ledger.served(slave.id, idsOf(keys), await slave.fetch(master.id, idsOf(keys)))
  }
}

/** Key from the device is taken again. Old stock is used up so that there is room for it. */
const flows = async (): Promise<void> => {
  const before = await ingested()
  await eventually('key from the device', async () => {
    await exchange()
    return await ingested() > before + 2_000_000 ? true : undefined
  })
}

t.test('a device process that restarts resends, and no bit comes twice', async (t) => {
  await exchange()
  for (const state of [true, false]) t.match(await world.tell({ cmd: 'restart', state }), { ok: true })
  await flows()
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await world.device.stop(signal)
    world.device.start()
    await flows()
  }
  await links('up')
  t.same(ledger.faults, [])
})

t.test('the fibre is cut and comes back', async (t) => {
  t.match(await world.tell({ cmd: 'cut' }), { ok: true })
  await eventually('no key comes', async () => (await world.kmes.a.device())?.state === 'stalled' || (await world.kmes.a.link())?.state === 'down' ? true : undefined)
  await exchange()
  t.match(await world.tell({ cmd: 'resume' }), { ok: true })
  await flows() // A link is up when a block of it was confirmed, and full pools take none.
  await links('up')
  t.same(ledger.faults, [])
})

t.test('an eavesdropper raises the error rate: quarantine until it falls', async (t) => {
  t.match(await world.tell({ cmd: 'noise', qber: QBER_ABORT + 0.02 }), { ok: true })
  await eventually('quarantine', async () => {
    await exchange() // So that frames are taken, and their error rate read.
    const views = await Promise.all(sites.map((kme) => kme.link()))
    return views.every((view) => view?.state === 'quarantined' && view.quarantineCause === 'qber') ? true : undefined
  })
  t.match(await world.tell({ cmd: 'noise', qber: 0.02 }), { ok: true })
  await eventually('healed', async () => (await world.kmes.a.link())?.quarantineCause === null ? true : undefined)
  await flows()
  await links('up')
  t.same(ledger.faults, [])
})

t.test('old bits under new names: quarantine until an operator releases the link', async (t) => {
  t.match(await world.tell({ cmd: 'replay', blocks: 1 }), { ok: true })
  await eventually('quarantine', async () => {
    await exchange()
    const views = await Promise.all(sites.map((kme) => kme.link()))
    return views.every((view) => view?.state === 'quarantined' && view.quarantineCause === 'replay') ? true : undefined
  })
  await eventually('the alert', async () => {
    const alerts = await world.kmes.a.admin.get('/v1/alerts') as { id: string, active: boolean }[]
    return alerts.some(({ id, active }) => id === 'link.quarantined' && active) ? true : undefined
  })
  const before = await eventually('what was on its way to the disk is booked', async () => {
    const first = await ingested()
    await pause(300)
    return await ingested() === first ? first : undefined
  })
  await exchange()
  t.equal(await ingested(), before, 'nothing is taken from it')
  // What the device wrote meanwhile waits in the ring: each further frame of the replayed block is a case for the operator.
  await eventually('released for good', async () => {
    const views = await Promise.all(sites.map((kme) => kme.link()))
    for (const [i, kme] of sites.entries()) if (views[i]?.state === 'quarantined') await kme.admin.post('/v1/links/1/release', {})
    return views.every((view) => view?.state === 'up') ? true : undefined
  }, 60_000, () => world.kmes.a.tail())
  await flows()
  t.same(ledger.faults, [])
})

t.test('afterwards every bit is accounted for', async (t) => {
  for (const kme of sites) t.match((await qkme(world.folder, ['account', '--config', kme.configFile, '--json'])).json(), { differenceBits: 0 })
  t.ok(ledger.keys > 1_000)
})
