import t, { type Test } from 'tap'
import { SimDisk } from '../../sim/store.js'
import type { Kv } from '../../src/store/kv.js'
import { kvContract } from './kv-suite.js'

const disks = new WeakMap<Kv, SimDisk>()
const openOn = (disk: SimDisk): Kv => {
  const kv = disk.open()
  disks.set(kv, disk)
  return kv
}

kvContract(t as Test, async () => openOn(new SimDisk()), async (_, kv) => {
  await kv.close()
  return openOn(disks.get(kv) as SimDisk)
})
