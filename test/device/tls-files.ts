import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPki, issueCertificate } from '../../src/crypto/pki.js'
import type { DeviceTls } from '../../src/device/device-https.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'

export interface DeviceCertificates { readonly kme: DeviceTls, readonly device: DeviceTls, readonly stranger: DeviceTls }

const make = async (folder: string, ids: readonly string[]): Promise<DeviceTls[]> => {
  const pki = { folder, clock: systemClock, random: systemRandom }
  await createPki(pki)
  return await Promise.all(ids.map(async (id) => {
    const { certificate, key } = await issueCertificate(pki, { profile: 'kme-peer', id, hosts: ['localhost', '127.0.0.1'] })
    return { certificate, key, ca: join(folder, 'kme-ca.crt') }
  }))
}

let made: Promise<DeviceCertificates> | undefined
const root = mkdtempSync(join(tmpdir(), 'qt-'))
process.on('exit', () => { rmSync(root, { recursive: true, force: true }) })

/** Certificates of a KME and its device under one CA, and of a stranger under another; made once per process. */
export const deviceCertificates = (): Promise<DeviceCertificates> => made ??= (async () => {
  const [kme, device] = await make(join(root, 'own'), ['kme-a', 'device-1'])
  const [stranger] = await make(join(root, 'other'), ['device-1'])
  return { kme: kme!, device: device!, stranger: { ...stranger!, ca: kme!.ca } }
})()
