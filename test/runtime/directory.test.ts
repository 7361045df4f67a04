import t from 'tap'
import { SimDisk } from '../../sim/store.js'
import type { Config } from '../../src/config/schema.js'
import { SaeDirectory } from '../../src/runtime/directory.js'
import { addSae, addSaes, changeSae, type SaeStatus } from '../../src/store/saes.js'

const config = { kme: { id: 'kme-a' }, rest: { confidentialNames: false }, policy: { default: 'allow', pairs: [] }, saes: [{ id: 'by-file' }, { id: 'of-b', kme: 'kme-b' }] } as unknown as Config

t.test('one SAE is decided on by its own row; a directory made anew says the same', async (t) => {
  const kv = new SimDisk().open()
  await addSaes(kv, Array.from({ length: 500 }, (_, n) => ({ id: `sae-${n}`, status: 'active' as const, createdMs: 1 })))
  let rows = 0
  const counted = new Proxy(kv, {
    get: (target, name) => name === 'range'
      ? function * (...asked: Parameters<typeof kv.range>) { for (const row of target.range(...asked)) { rows += 1; yield row } }
      : typeof target[name as keyof typeof kv] === 'function' ? (target[name as keyof typeof kv] as (...of: unknown[]) => unknown).bind(target) : target[name as keyof typeof kv],
  })
  const directory = new SaeDirectory(config, counted, () => {})
  const same = (what: string): void => {
    const fresh = new SaeDirectory(config, kv, () => {})
    t.same([directory.ownSaes().generation, [...directory.ownSaes().saes].sort()], [fresh.ownSaes().generation, [...fresh.ownSaes().saes].sort()], what)
  }
  t.equal(directory.ownSaes().saes.length, 501)
  const before = directory.ownSaes().saes
  t.equal(directory.ownSaes().saes, before, 'no list is made twice')
  rows = 0
  const set = async (id: string, status: SaeStatus, isNew: boolean): Promise<boolean> => {
    await (isNew ? addSae(kv, { id, status, createdMs: 2 }) : changeSae(kv, id, { status }))
    directory.changed(id)
    same(`${id} ${status}`)
    return directory.whereIs(id) === 'kme-a'
  }
  t.same([await set('new', 'requested', true), await set('new', 'active', false), await set('new', 'suspended', false), await set('new', 'revoked', false)], [false, true, true, false])
  t.same([await set('by-file', 'requested', true), await set('by-file', 'revoked', false), await set('of-b', 'active', true), await set('of-b', 'revoked', false)], [true, false, true, false])
  t.equal(directory.whereIs('of-b' as never), 'kme-b', 'as the configuration says')
  t.equal(rows, 0, 'the registry is not read through')
})
