import type { Faults } from './fault.js'
import type { Config } from './schema.js'
import type { SettingPath } from './settings.js'

/** Rules of `network.routing` that its schema cannot say. */
export const checkRouting = (config: Config, faults: Faults): void => {
  const { routing } = config.network, self = config.kme.id
  const neighbours = new Set(config.peers.map((peer) => peer.kme)), forbidden = new Set(routing.forbidden)
  if (routing.holdMs > routing.holdMaxMs) faults.addDerived(['network', 'routing', 'holdMs'], `(${routing.holdMs}) must be at most holdMaxMs (${routing.holdMaxMs})`, [['network', 'routing', 'holdMaxMs']])
  routing.forbidden.forEach((kme, index) => {
    if (kme === self) faults.addDerived(['network', 'routing', 'forbidden', index], 'is this KME itself', [['kme']])
  })
  routing.routes.forEach(({ to, via }, index) => {
    const path: SettingPath = ['network', 'routing', 'routes', index], nodes = [self, ...via, to]
    if (new Set(nodes).size !== nodes.length) faults.addDerived(path, 'passes a KME twice (it begins at this KME)', [['kme']])
    else if (!neighbours.has(nodes[1]!)) faults.addDerived(path, `begins with ${nodes[1]}, which is none of the peers`, [['peers']])
    const barred = via.find((kme) => forbidden.has(kme))
    if (barred !== undefined) faults.addDerived([...path, 'via'], `passes ${barred}, which is forbidden`, [['network', 'routing', 'forbidden']])
  })
}

/** Rules of `network.relay`. A far KME may have pools of several classes, each once: the class gives a pool its name and its number. */
export const checkRelay = (config: Config, faults: Faults): void => {
  const self = config.kme.id, { pools, automatic, tunnels } = config.network.relay
  const seen = new Map<string, number>()
  pools.forEach(({ kme, paths, hybrid }, index) => {
    const path: SettingPath = ['network', 'relay', 'pools', index, 'kme'], name = `${kme} ${paths} ${hybrid}`
    if (kme === self) faults.addDerived(path, 'is this KME itself', [['kme']])
    const before = seen.get(name)
    if (before !== undefined) faults.addDerived(path, `stands in entry ${before} already, with the same paths and hybrid`, [['network', 'relay', 'pools', before]])
    seen.set(name, index)
  })
  automatic.kmes.forEach((kme, index) => { if (kme === self) faults.addDerived(['network', 'relay', 'automatic', 'kmes', index], 'is this KME itself', [['kme']]) })
  if (tunnels.sourceQueueBytes > tunnels.queueBytes) faults.addDerived(['network', 'relay', 'tunnels', 'sourceQueueBytes'], `(${tunnels.sourceQueueBytes}) must be at most queueBytes (${tunnels.queueBytes})`, [['network', 'relay', 'tunnels', 'queueBytes']])
}
