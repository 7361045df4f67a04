import { join } from 'node:path'
import type { Clock } from '../../kernel/time.js'
import { Child, script, type ChildExit } from './child.js'
import { configFile, linkId } from './site-config.js'
import { sites } from './folder.js'
import type { Prepared } from './prepare.js'

const deviceGraceMs = 10_000, kmeGraceMs = 30_000

/** The processes of the trial network: two KMEs, and the device that feeds both ends of their link. */
export class Network {
  readonly children: Child[] = []
  /** Resolves with the first that ends, whatever the reason. */
  readonly ended: Promise<ChildExit>
  private isStopping = false
  private tellEnded!: (exit: ChildExit) => void

  constructor (private readonly prepared: Prepared, private readonly clock: Clock) {
    this.ended = new Promise((resolve) => { this.tellEnded = resolve })
  }

  startKmes (): void {
    const { folder, env } = this.prepared
    for (const site of sites) this.add(new Child({ name: `kme-${site}`, folder, env, args: [script('src/cli/qkme.js'), 'serve', '--config', configFile(folder, site)] }))
  }

  /** Does nothing once the network is being stopped: what starts then would never be stopped. */
  startDevice (rateBps: number, physics: string | undefined): void {
    if (this.isStopping) return
    const { folder, env, configs } = this.prepared
    const ring = (site: 'a' | 'b'): string => configs[site].links.find(({ id }) => id === linkId)?.ring?.path ?? join(folder, `kme-${site}-ring.sock`)
    this.add(new Child({
      name: 'device', folder, env,
      args: [
        script('sim/device/main.js'), '--ring-a', ring('a'), '--ring-b', ring('b'), '--link', String(linkId), ...physics === undefined ? ['--rate', String(rateBps)] : ['--physics', physics],
        '--state', join(folder, 'device.json'), '--control', join(folder, 'device.sock'),
      ],
      keepLine: (line) => !line.startsWith('{"event":"progress"'), // Twice a second for ever would fill the disk.
    }))
  }

  /** The device first, so that nothing is under way when the KMEs close their books; then both KMEs at once, as each says goodbye to the other. */
  async stop (told: (exit: ChildExit) => void): Promise<ChildExit[]> {
    this.isStopping = true
    const device = this.children.filter(({ name }) => name === 'device'), kmes = this.children.filter(({ name }) => name !== 'device')
    const end = async (child: Child, graceMs: number): Promise<ChildExit> => {
      if (child.exit !== undefined) return child.exit
      const exit = await child.stop(this.clock, graceMs)
      told(exit)
      return exit
    }
    const first = await Promise.all(device.map((child) => end(child, deviceGraceMs)))
    return [...first, ...await Promise.all(kmes.map((child) => end(child, kmeGraceMs)))]
  }

  kill (): void { for (const child of this.children) child.signal('SIGKILL') }

  /** For an end of this process that nobody planned. */
  terminate (): void { for (const child of this.children) child.signal('SIGTERM') }

  private add (child: Child): void {
    this.children.push(child)
    void child.exited.then(this.tellEnded)
  }
}
