import { KmeError } from '../../src/kernel/errors.js'
import type { LogLevel } from '../../src/kernel/log.js'
import type { AdminPort, OperatorAct, OperatorAudit } from '../../src/admin/port.js'

/** An AdminPort that writes down every act, and fails as told. */
export const fakePort = (options: { fail?: unknown } = {}) => {
  const acts: string[] = []
  const levels: Record<string, LogLevel> = { '*': 'info' }
  const health = { live: true, ready: true, reasons: [] as string[] }
  const note = (what: string) => async (id: string): Promise<void> => {
    if (options.fail !== undefined) throw options.fail
    if (id === 'nobody') throw new KmeError('NOT_FOUND', `there is no ${id}`)
    acts.push(`${what} ${id}`)
  }
  const released = (what: string) => async (id: string) => { await note(what)(id); return { done: true, still: id === '2' ? 'held by B until it is released there' : '' } as const }
  const sae = (id: string) => ({ id, kme: 'A', state: 'known', registeredAt: null, note: null, associations: 0 })
  const port: AdminPort = {
    status: () => ({ kme: 'A', version: '0', startedAt: '', uptimeS: 1, incarnation: 1, state: 'working', parts: [], pools: 0, links: 0, peers: 0, saes: 0, alertsActive: 0 }),
    health: () => health,
    pools: () => [], links: () => [], peers: () => [], devices: () => [], frameHeaders: (device) => [{ sequence: 1, epoch: 1, deviceBlock: device, offset: 0, payloadBytes: 1, flags: [], qber: null, at: '' }],
    saes: (after, limit) => ({ saes: [sae(`${after ?? 'first'}+${limit}`)], next: null }),
    account: async () => ({ pools: [], differenceBits: 0 }),
    alerts: () => [], topology: () => ({ self: 'A', nodes: [], links: [], routes: [] }),
    addSae: async ({ id, name }) => { await note('add')(`${id} ${name ?? '-'}`); return sae(id) },
    approveSae: note('approve'), suspendSae: note('suspend'), resumeSae: note('resume'), removeSae: note('remove'), replenish: note('replenish'),
    resumePool: released('resumePool'),
    releaseLink: released('release'), holdLink: (id, reason) => note('hold')(`${id}: ${reason}`), holdPeer: (id, reason) => note('holdPeer')(`${id}: ${reason}`), releasePeer: released('releasePeer'), restartPart: note('restart'), retirePeer: note('retire'), zeroize: () => note('zeroize')('all'),
    voidKeys: async (request) => { await note('void')(JSON.stringify(request)); return { incident: null, pools: [], unknown: [] } },
    incidents: () => [], incident: (id) => { if (id === 'nobody') throw new KmeError('NOT_FOUND', `there is no incident ${id}`); return { id, at: '', kind: 'void', origin: 'A', what: '', reason: '', state: 'done', pools: [] } },
    logLevels: () => levels,
    setLogLevels: (changes) => { Object.assign(levels, changes) },
  }
  const records: OperatorAct[] = []
  const auditState = { fails: false }
  const audit: OperatorAudit = { record: async (act) => { if (auditState.fails) throw new KmeError('STORE_FULL', 'no space'); records.push(act) } }
  return { port, acts, health, records, audit, auditState }
}
