import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Kv } from '../../src/store/kv.js'
import { openLmdbKv } from '../../src/store/lmdb.js'
import { kvContract } from './kv-suite.js'

const folders = new WeakMap<Kv, string>()
const openAt = async (folder: string): Promise<Kv> => {
  const kv = await openLmdbKv({ folder, mapBytes: 1 << 30, reserveBytes: 1 << 20 })
  folders.set(kv, folder)
  return kv
}

kvContract(t as Test, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-kv-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return openAt(folder)
}, async (_, kv) => {
  await kv.close()
  return openAt(folders.get(kv) as string)
})
