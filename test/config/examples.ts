/** Folders with the example configurations and everything they name. */
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createPki, issueCertificate } from '../../src/crypto/pki.js'
import { systemClock } from '../../src/kernel/system-clock.js'
import { systemRandom } from '../../src/kernel/system-random.js'

/** From dist/test/config. */
export const projectFolder = new URL('../../../', import.meta.url).pathname

export const exampleFile = (kme: string): string => join(projectFolder, 'deploy', 'examples', `${kme}.yaml`)

/** An empty folder with a short name (a Unix socket's path has at most 107 bytes), removed after the test. */
export const shortFolder = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'qkme-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

/** Follows the comment at the head of the examples. */
export const setUpExamples = async (folder: string): Promise<void> => {
  const pki = { folder: join(folder, 'pki'), clock: systemClock, random: systemRandom }
  mkdirSync(folder, { recursive: true })
  await createPki(pki)
  for (const site of ['a', 'b']) {
    const hosts = [`kme-${site}.example`, 'localhost']
    await issueCertificate(pki, { profile: 'kme-server', id: `kme-${site}`, hosts })
    await issueCertificate(pki, { profile: 'kme-peer', id: `kme-${site}`, hosts })
    await issueCertificate(pki, { profile: 'sae', id: `sae-${site}-1` })
    writeFileSync(join(folder, `kme-${site}-master.key`), randomBytes(32), { mode: 0o600 })
    copyFileSync(exampleFile(`kme-${site}`), join(folder, `kme-${site}.yaml`))
  }
}
