import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { withStore } from '../../src/cli/store-session.js'
import type { CliContext } from '../../src/cli/context.js'
import { loadConfig } from '../../src/config/load.js'
import type { Config } from '../../src/config/schema.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'
import { addSae, listSaes } from '../../src/store/saes.js'
import { makeRecordHeader, RECORD_KIND } from '../../src/store/record.js'
import { SLOT_FILE } from '../../src/store/rotate.js'
import { shortFolder } from '../config/examples.js'
import { answer, run, startAdmin } from './world.js'

const context: CliContext = {
  clock: systemClock, random: systemRandom, streams: { out: () => {}, err: () => {} }, variables: {}, workingFolder: '/', version: '0', exit: { code: 0 },
}
const yaml = `kme: { id: kme-x }
rest: { tls: { certificate: a, key: b, ca: c, crlRequired: false } }
store: { mapSizeBytes: 64MiB, reserveBytes: 0, masterKey: { file: m.key } }
memory: { allowUnlocked: true }
`
interface Site { readonly folder: string, readonly config: Config, readonly slots: string, cli (...args: string[]): ReturnType<typeof run> }

/** A stopped KME with a store of a few sealed records and one SAE. */
const site = async (t: Test, records = 3): Promise<Site> => {
  const folder = shortFolder(t)
  writeFileSync(join(folder, 'k.yaml'), yaml)
  const cli = (...args: string[]): ReturnType<typeof run> => run(folder, [...args, '--config', 'k.yaml'])
  t.equal((await cli('store', 'create-key')).code, 0)
  const config = loadConfig({ file: join(folder, 'k.yaml'), variables: {}, workingFolder: folder, checkFiles: false })
  if (records > 0) {
    await withStore(context, config, { create: true }, async ({ kv, keys, start }, vault) => {
      const { sealer, slot } = keys.sealer('kme-y')
      kv.transact((tx) => {
        for (let offset = 0; offset < records; offset++) {
          const header = makeRecordHeader(RECORD_KIND.random, { link: 1, id: '00'.repeat(16), offset }, 256, slot, start.number), out = new Uint8Array(4096)
          tx.put(['frame', 1, '00', offset], out.slice(0, vault.sealRandom(sealer, header, 256, out)))
        }
        keys.added(tx, slot, records)
      })
      await addSae(kv, { id: 'sae-1', status: 'active', createdMs: 0 })
      await kv.flushed()
    })
  }
  return { folder, config, slots: join(config.store.folder, SLOT_FILE), cli }
}

t.test('store check: good, then damaged, then without its master key', async t => {
  const { cli, config, folder } = await site(t)
  t.match(await cli('store', 'check'), { code: 0, out: /3 sealed records, .* all of them verify/ })
  await withStore(context, config, { create: false }, async ({ kv }) => {
    const bad = kv.get(['frame', 1, '00', 1]) as Uint8Array
    bad[100] = (bad[100] as number) ^ 1
    kv.transact((tx) => { tx.put(['frame', 1, '00', 1], bad); tx.remove(['frame', 1, '00', 2]) })
    await kv.flushed()
  })
  const damaged = await cli('store', 'check', '--json')
  t.equal(damaged.code, 13)
  t.match(damaged.json(), { ok: false, records: 2, bad: [{ name: /offset 1/ }], wrongCounts: [{ counted: 3, found: 2 }] })
  t.match(await cli('store', 'check'), { code: 13, out: /1 are bad\nRECORD/ })
  rmSync(join(folder, 'm.key'))
  t.match(await cli('store', 'check'), { code: 17, err: /m\.key/ })
})

t.test('a running KME holds its store; a folder without one is told', async t => {
  const { cli, config } = await site(t)
  await withStore(context, config, { create: false }, async () => { t.match(await cli('store', 'check'), { code: 11 }) })
  const empty = await site(t, 0)
  t.match(await empty.cli('store', 'check'), { code: 10 })
})

t.test('rotate-key: the new key opens the store, the old one does not', async t => {
  const { cli, folder, config } = await site(t)
  t.match(await cli('store', 'rotate-key'), { code: 2, err: /--to-file/ })
  t.equal((await cli('store', 'create-key', '--file', 'new.key')).code, 0)
  t.match(await cli('store', 'rotate-key', '--to-file', 'new.key'), { code: 0, out: /keys are wrapped anew.*masterKey.*new\.key/s })
  t.match(await cli('store', 'check'), { code: 16 })
  const passphrase = join(folder, 'p.txt')
  writeFileSync(passphrase, 'correct horse battery staple\n', { mode: 0o600 })
  writeFileSync(join(folder, 'k.yaml'), yaml.replace('m.key', 'new.key'))
  t.match(await cli('store', 'check'), { code: 0, out: /3 sealed records/ })
  t.match(await cli('store', 'rotate-key', '--to-passphrase-file', 'p.txt'), { code: 0 })
  writeFileSync(join(folder, 'k.yaml'), yaml.replace('file: m.key', 'passphraseFile: p.txt'))
  t.match(await cli('store', 'check'), { code: 0, out: /3 sealed records/ })
  t.equal(config.kme.id, 'kme-x')
})

t.test('backup and restore: SAEs travel, key stock never does', async t => {
  const { cli, folder, config } = await site(t)
  t.match(await cli('backup', 'b.qkme'), { code: 0, out: /rows in/ })
  t.match(await cli('backup', 'b.qkme'), { code: 10 }, 'never overwrites')
  t.match(await cli('restore', 'b.qkme'), { code: 10, err: /not empty/ })
  writeFileSync(join(folder, 'k.yaml'), `${yaml}folders: { state: other }\n`)
  t.match(await cli('restore', 'b.qkme'), { code: 0, out: /takes a new identity/ })
  t.match(await cli('store', 'check'), { code: 0, out: /^0 sealed records/, err: /restored/ })
  const other = { ...config, store: { ...config.store, folder: join(folder, 'other/store') } }
  t.same(await withStore(context, other, { create: false }, async ({ kv }) => listSaes(kv).map((sae) => sae.id)), ['sae-1'])
  const changed = readFileSync(join(folder, 'b.qkme'))
  changed[changed.length >> 1] = (changed[changed.length >> 1] as number) ^ 1
  writeFileSync(join(folder, 'b.qkme'), changed)
  rmSync(join(folder, 'other'), { recursive: true })
  t.match((await cli('restore', 'b.qkme')).code, 13, 'a changed file')
})

t.test('audit: an empty trail verifies; arguments are checked', async t => {
  const { cli } = await site(t)
  t.match(await cli('audit', 'verify'), { code: 0, out: /0 records verify/ })
  t.match(await cli('audit', 'show', '--json'), { code: 0, out: /\[\]/ })
  t.match(await cli('audit', 'show', '--limit', 'many'), { code: 2, err: /whole number/ })
})

t.test('zeroize: a stopped store; without its master key too; only with the right ID', async t => {
  const { cli, slots } = await site(t)
  const before = readFileSync(slots)
  t.match(await cli('zeroize', '--confirm', 'kme-y'), { code: 2, err: /kme-x/ })
  t.same(readFileSync(slots), before)
  t.match(await cli('zeroize', '--confirm', 'kme-x'), { code: 0, out: /no KME was running/ })
  t.match(await cli('store', 'check'), { code: 13, out: /3 are bad/ }, 'no record opens any more')
  const lost = await site(t)
  rmSync(join(lost.folder, 'm.key'))
  t.match(await lost.cli('zeroize', '--confirm', 'kme-x', '--json'), { code: 0 })
  t.ok(readFileSync(lost.slots).every((byte) => byte === 0))
  const none = await site(t, 0)
  t.match(await none.cli('zeroize', '--confirm', 'kme-x'), { code: 22, err: /nothing to erase/ })
})

t.test('zeroize of a running KME goes through it, and its refusal counts', async t => {
  const { cli, folder, slots } = await site(t)
  const before = readFileSync(slots), seen: string[] = []
  let status = 403
  const socket = join(folder, 's.sock')
  await startAdmin(t, socket, (request, body, response) => { seen.push(`${request.url ?? ''} ${body}`); answer(response, status, status === 200 ? { done: true } : { message: 'role destroy is needed' }) })
  t.match(await cli('zeroize', '--confirm', 'kme-x', '--socket', socket), { code: 21, err: /role destroy/ })
  status = 200
  t.match(await cli('zeroize', '--confirm', 'kme-x', '--socket', socket), { code: 0, out: /the running KME/ })
  t.same(seen, Array(2).fill('/v1/zeroize {"confirm":"zeroize kme-x"}'))
  t.same(readFileSync(slots), before)
  t.ok(existsSync(slots))
})
