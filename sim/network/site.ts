import { join } from 'node:path'
import type { Scenario } from './scenario.js'

export interface SitePorts { readonly rest: number, readonly peering: number }
/** Ports that lead to a neighbour's peer port, by its name. */
export type Lines = ReadonlyMap<string, number>

export const kmeId = (name: string): string => `kme-${name}`
export const saeId = (name: string): string => `sae-${name}`
export const linkNumber = (index: number): number => index + 1
export const ringPath = (folder: string, name: string, link: number): string => join(folder, `ring-${name}-${link}.sock`)

/** Settings of one KME of a scenario. */
export const siteConfig = (folder: string, scenario: Scenario, name: string, ports: SitePorts, lines: Lines, keepAliveMs = 500): object => {
  const id = kmeId(name)
  const tls = (role: string, ca: string): object => ({ certificate: `pki/kme/${id}/${role}.crt`, key: `pki/kme/${id}/${role}.key`, ca: `pki/${ca}-ca.crt`, crlFiles: [`pki/${ca}-ca.crl`] })
  const links = scenario.links.map((link, index) => ({ ...link, index })).filter((l) => l.between.includes(name))
  const other = (between: readonly [string, string]): string => between[0] === name ? between[1] : between[0]
  return {
    kme: { id }, folders: { state: id },
    rest: { host: '127.0.0.1', port: ports.rest, publicHosts: ['localhost', '127.0.0.1'], tls: tls('server', 'sae') },
    peering: { host: '127.0.0.1', port: ports.peering, tls: tls('peer', 'kme'), keepAliveMs, retry: { minMs: 50, maxMs: 1_000 } },
    peers: links.map((l) => ({ kme: kmeId(other(l.between)), url: `wss://localhost:${lines.get(other(l.between))!}` })),
    links: links.map((l) => ({ id: linkNumber(l.index), peer: kmeId(other(l.between)), ring: { path: ringPath(folder, name, linkNumber(l.index)) } })),
    network: { relay: { reserveBytes: 32_768, ...scenario.automatic === undefined ? {} : { automatic: { accept: true, ...scenario.automatic } }, pools: scenario.relayed.filter((r) => r.between.includes(name)).map((r) => ({ kme: kmeId(other(r.between)), paths: r.paths, hybrid: r.hybrid, stockBytes: r.stockBytes })) } },
    pools: { lowKeys: 100, criticalKeys: 10, maxKeyCount: Math.max(100_000, ...scenario.relayed.map((r) => r.stockBytes / 32)), runwayMs: 5_000 },
    policy: { default: 'allow' }, saes: [{ id: saeId(name) }],
    store: { masterKey: { file: `${id}-master.key` }, mapSizeBytes: 16 * 2 ** 30, reserveBytes: 1 << 20, copies: 'void' },
    logging: { level: 'info' },
  }
}
