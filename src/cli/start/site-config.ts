import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KmeError } from '../../kernel/errors.js'
import { remember, sha256Hex, sites, type Remembered, type SiteName } from './folder.js'
import type { PortPairs } from './options.js'
import { operatorName, saes } from './pki.js'

export const linkId = 1
/** A pool counts as ready when it holds what the link delivers to one side in this time, within the limits below. */
const readyS = 3
const lowKeysMin = 100, lowKeysMax = 10_000, keyBits = 256

export const configFile = (folder: string, site: SiteName): string => join(folder, `kme-${site}.yaml`)

/**
 * Writes both configuration files for these ports and this rate. A file that somebody changed since is left as it is.
 *
 * @param mustWrite The ports were asked for by option: a changed file that would not follow is an error then.
 * @returns names of the files that were left.
 * @throws KmeError `CONFIG_INVALID`
 */
export const writeConfigs = (folder: string, remembered: Remembered, ports: PortPairs, rateBps: number, mustWrite: boolean): string[] => {
  const left: string[] = [], written: Record<string, string> = { ...remembered.written }
  for (const site of sites) {
    const name = `kme-${site}.yaml`, path = configFile(folder, site), before = written[name]
    const isChanged = existsSync(path) && sha256Hex(readFileSync(path, 'utf8')) !== before
    if (isChanged && mustWrite) throw new KmeError('CONFIG_INVALID', `${path} was changed by hand, so options do not change its ports\nWrite the ports into that file, or delete it to get a new one`)
    if (isChanged) left.push(name)
    else {
      const text = configText(site, ports, rateBps)
      writeFileSync(path, text, { mode: 0o600 })
      written[name] = sha256Hex(text)
    }
  }
  remember(folder, { ...remembered, ports, written })
  return left
}

const configText = (site: SiteName, ports: PortPairs, rateBps: number): string => {
  const other = site === 'a' ? 'b' : 'a', { rest, peering, admin } = ports[site]
  const lowKeys = Math.round(Math.min(lowKeysMax, Math.max(lowKeysMin, rateBps * readyS / 2 / keyBits)))
  const tls = (certificate: string, ca: string): string => `
    certificate: pki/kme/kme-${site}/${certificate}.crt
    key: pki/kme/kme-${site}/${certificate}.key
    ca: pki/${ca}-ca.crt
    crlFiles: [pki/${ca}-ca.crl]`
  return `# kme-${site} of a trial network on one machine, written by npm start. Once you change this file, npm start leaves it alone.
# Every setting is described in docs/configuration.md; check it with: node dist/src/cli/qkme.js config check --config kme-${site}.yaml

kme:
  id: kme-${site}
folders:
  state: kme-${site}

rest:
  host: 127.0.0.1
  port: ${rest}
  publicHosts: [localhost, 127.0.0.1]
  tls:${tls('server', 'sae')}

peering:
  host: 127.0.0.1
  port: ${peering}
  tls:${tls('peer', 'kme')}
peers:
  - kme: kme-${other}
    url: wss://localhost:${ports[other].peering}

links:
  - id: ${linkId}
    peer: kme-${other}
    ring: { path: kme-${site}-ring.sock }
pools:
  lowKeys: ${lowKeys}
  criticalKeys: ${Math.round(lowKeys / 10)}

saes:
${saes[site].map((id) => `  - id: ${id}\n`).join('')}${saes[other].map((id) => `  - { id: ${id}, kme: kme-${other} }\n`).join('')}policy:
  default: allow # For trials only: real sites list their pairs.

admin:
  https:
    host: 127.0.0.1
    port: ${admin}
    hosts: [localhost:${admin}, 127.0.0.1:${admin}]
    tls:${tls('server', 'operator').replaceAll('\n', '\n  ')}
  roles:
    - { operator: ${operatorName}, role: operate }

store:
  masterKey: { file: kme-${site}-master.key }
`
}
