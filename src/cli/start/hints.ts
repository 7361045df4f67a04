import { join, relative } from 'node:path'
import type { Config } from '../../config/schema.js'
import { leafPaths } from '../../crypto/pki-files.js'
import { operatorName } from './pki.js'

/** What a person types next: the same exchange with curl, and a look at the KMEs. */
export interface HintsOptions {
  readonly folder: string
  readonly workingFolder: string
  readonly configs: { readonly a: Config, readonly b: Config }
  readonly master: string
  readonly slave: string
  /** The key comes from a simulated link. */
  readonly physics: boolean
}

/** A path as one types it: relative where that is shorter, quoted where the shell would split it. */
export const shellPath = (workingFolder: string, path: string): string => {
  const near = relative(workingFolder, path)
  const shown = near !== '' && near.length < path.length ? near : path
  return /^[\w@%+=:,./-]+$/.test(shown) ? shown : `'${shown.replaceAll('\'', '\'\\\'\'')}'`
}

/** Lines to print; those that begin with four spaces are for the shell. */
export const hintLines = ({ folder, workingFolder, configs, master, slave, physics }: HintsOptions): string[] => {
  const path = (...parts: string[]): string => shellPath(workingFolder, join(folder, ...parts))
  const as = (kind: 'sae' | 'operator', id: string): string => {
    const { certificate, key } = leafPaths(join(folder, 'pki'), kind, id, 'client')
    return `--cacert ${path('pki/kme-ca.crt')} --cert ${shellPath(workingFolder, certificate)} --key ${shellPath(workingFolder, key)}`
  }
  const url = (config: Config, rest: string): string => `"https://localhost:${config.rest.port}/api/v1/keys/${rest}"`
  const a = `curl -s ${as('sae', master)}`, b = `curl -s ${as('sae', slave)}`
  const sockets = [configs.a, configs.b].map((config) => `    node dist/src/cli/qkme.js status --socket ${shellPath(workingFolder, config.admin.socketPath)}`)
  const { https } = configs.a.admin
  return [
    'The same with curl, from this folder:',
    '',
    `  # ${master} asks ${configs.a.kme.id} how many keys it shares with ${slave}`,
    `    ${a} ${url(configs.a, `${slave}/status`)}; echo`,
    '',
    `  # ${master} takes a key for ${slave}`,
    `    ANSWER=$(${a} ${url(configs.a, `${slave}/enc_keys`)}); echo "$ANSWER"`,
    '    ID=$(echo "$ANSWER" | sed \'s/.*"key_ID":"\\([^"]*\\)".*/\\1/\')',
    '',
    `  # ${slave} fetches the same key at ${configs.b.kme.id}, once`,
    `    ${b} ${url(configs.b, `${master}/dec_keys?key_ID=$ID`)}; echo`,
    '',
    'What the KMEs are doing:',
    '',
    ...sockets,
    ...https === undefined ? [] : [`    curl -s ${as('operator', operatorName)} "https://localhost:${https.port}/metrics" | grep ^qkme`],
    `    tail -f ${path('kme-a.log')}`,
    ...!physics ? [] : [
      '',
      'Let Eve listen on the fibre, and leave again (QBER, key and quarantine: qkme status above):',
      '',
      `    npm run sim -- eve intercept-resend --control ${path('device.sock')}`,
      `    npm run sim -- eve none --control ${path('device.sock')}`,
    ],
  ]
}
