/** Every row by its name, in the order of the table. */
import type { Figure } from './figures.js'
import { encRelayed, reroute } from './rows-network.js'
import { relay } from './rows-relay.js'
import { relayPads } from './rows-relay-pads.js'
import { chain } from './post-chain.js'
import { cascade } from './rows-post.js'
import { amplification, ldpc } from './rows-post-kernels.js'
import { doorbell, drain, ringLatency, ringRatio, ringThroughput } from './rows-ring.js'
import { ingestUnderLoad, memory, much, neverReads } from './rows-site.js'
import { routes } from './rows-routing.js'
import { decOne128, decOne32, encConnect, encMany, encOne, encOneLocal, halfLoad, status, type BenchContext } from './rows-rest.js'

/** `site`: runs on the two KMEs that the rows share. `own`: starts what it needs; nothing else runs then. `long`: takes many minutes, only by name. */
interface RowEntry { readonly needs: 'site' | 'own', readonly long?: boolean, run (bench: BenchContext): Promise<Figure | Figure[]> }

export const rows: Readonly<Record<string, RowEntry>> = {
  enc: { needs: 'site', run: encOne },
  'enc-local': { needs: 'site', run: encOneLocal },
  dec32: { needs: 'site', run: decOne32 },
  dec128: { needs: 'site', run: decOne128 },
  enc128keys: { needs: 'site', run: encMany },
  status: { needs: 'site', run: status },
  connect: { needs: 'site', run: encConnect },
  p99: { needs: 'site', run: halfLoad },
  ingest: { needs: 'site', run: ingestUnderLoad },
  flood: { needs: 'site', run: neverReads },
  ring: { needs: 'own', run: ringThroughput },
  'ring-lmdb': { needs: 'own', run: ringRatio },
  'ring-p99': { needs: 'own', run: ringLatency },
  drain: { needs: 'own', run: drain },
  doorbell: { needs: 'own', run: doorbell },
  'relay-pads': { needs: 'own', run: relayPads },
  relay: { needs: 'own', run: relay },
  'enc-relayed': { needs: 'own', run: encRelayed },
  reroute: { needs: 'own', run: reroute },
  routes: { needs: 'own', run: routes },
  cascade: { needs: 'own', run: cascade },
  'post-chain': { needs: 'own', run: chain },
  amplify: { needs: 'own', run: amplification },
  ldpc: { needs: 'own', run: ldpc(5) },
  'ldpc-fer': { needs: 'own', long: true, run: ldpc(556) },
  'much-1M': { needs: 'own', long: true, run: much(1_000_000) },
  much: { needs: 'own', long: true, run: much(10_000_000) },
  memory: { needs: 'own', long: true, run: memory },
}
