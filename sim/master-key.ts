import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadNative } from '../src/device/native.js'

let file: string | undefined

/** A master key that all simulated KMEs of this process share, made once: no rule of the simulations depends on whose it is. */
export const simMasterKey = (): string => {
  if (file !== undefined) return file
  const folder = mkdtempSync(join(tmpdir(), 'qkme-sim-'))
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  const made = join(folder, 'master.key')
  loadNative().createVault({ arenaBytes: 65_536, allowUnlockedMemory: true }).createMasterKeyFile(made)
  return file = made
}
