import { spawnSync } from 'node:child_process'
import { KmeError } from '../../kernel/errors.js'
import { script } from './child.js'
import { linkId } from './site-config.js'

/**
 * Asks the device whether it knows a simulated link of that name, before anything runs.
 *
 * @throws KmeError `BAD_REQUEST` with the names that it knows.
 */
export const checkPhysics = (physics: string): void => {
  const { status, stderr } = spawnSync(process.execPath, [script('sim/device/main.js'), '--check', '--ring-a', '-', '--link', String(linkId), '--physics', physics], { encoding: 'utf8' })
  if (status !== 0) throw new KmeError('BAD_REQUEST', stderr.split('\n\n', 1)[0]!)
}
