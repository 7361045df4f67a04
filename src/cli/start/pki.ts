import { existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createPki, issueCertificate } from '../../crypto/pki.js'
import type { Random } from '../../kernel/random.js'
import type { Clock } from '../../kernel/time.js'

export const saes = { a: ['sae-a-1', 'sae-a-2'], b: ['sae-b-1', 'sae-b-2'] } as const
export const operatorName = 'operator-1'

/** As long as the authorities nearly live: a forgotten trial folder should not stop by a date. */
const leafDays = 3_600

/**
 * Makes the development PKI in `<folder>/pki` if there is none: three authorities, both KMEs, four SAEs, one operator. It
 * appears whole or not at all: a start that was cut off in the middle leaves nothing that the next one stumbles over.
 *
 * @returns whether it was made.
 */
export const makePki = async (folder: string, clock: Clock, random: Random): Promise<boolean> => {
  const place = join(folder, 'pki'), next = join(folder, 'pki.new')
  if (existsSync(place)) return false
  rmSync(next, { recursive: true, force: true })
  const pki = { folder: next, clock, random }
  await createPki(pki, { organization: 'qkme trial' })
  for (const site of ['a', 'b'] as const) {
    await issueCertificate(pki, { profile: 'kme-server', id: `kme-${site}`, days: leafDays })
    await issueCertificate(pki, { profile: 'kme-peer', id: `kme-${site}`, days: leafDays })
    for (const id of saes[site]) await issueCertificate(pki, { profile: 'sae', id, days: leafDays })
  }
  await issueCertificate(pki, { profile: 'operator', id: operatorName, days: leafDays })
  renameSync(next, place)
  return true
}
