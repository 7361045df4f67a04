import { uuidText } from '../device/formats/uuid.js'
import { RECORD_STRIDE } from '../device/native.js'
import type { Body } from '../peer/messages.js'
import type { KvWriter } from '../store/kv.js'
import { makeRecordHeader, RECORD_KIND } from '../store/record.js'
import { SLAVES_MAX } from './claims.js'
import type { PoolCore } from './core.js'
import { GrantedKeys } from './granted-keys.js'
import { readCount, writeCount, type CutKey, type GrantedRow } from './grant-rows.js'
import { NamedOffers, type GrantFault } from './named-offers.js'
import { cutsOver, sumOf, withCuts } from './pad-places.js'
import type { RelayAccess } from './relay-access.js'

/** What the addon and the store throw has a code; a grant that meets these is refused and the process goes on. */
const PASSING: readonly unknown[] = ['ARENA_FULL', 'STORE_CORRUPT', 'STORE_FULL']

/** In one message, as its schema has it. */
const CUT_MAX = 256

interface Sealed { readonly records: readonly Uint8Array[], readonly slot: number }

/**
 * Named grants over one pool, in both directions (docs/multicast.md): keys of a master at one KME for slaves at a further one, under
 * one-time pads of the sender's lane of this pool. A grant is one message, on disk before it is acknowledged; `namedGrantEnd` takes it
 * back through the outbox. Its number only rises, so that nothing late revives what is over.
 */
export class NamedGrants {
  /** What we send. */
  readonly offers: NamedOffers
  /** What we were sent. */
  readonly keys: GrantedKeys
  private taken: number
  private readonly scratch = new Uint8Array(RECORD_STRIDE)

  /** @param burn No slave here gets these keys of a lane any more. */
  constructor (private readonly core: PoolCore, readonly pads: RelayAccess, private readonly burn: (tx: KvWriter, keys: readonly CutKey[]) => () => void) {
    this.offers = new NamedOffers(core)
    this.keys = new GrantedKeys(core)
    this.taken = readCount(core.deps.kv, core.pool, 'taken')
  }

  /** The other KME's master shares keys with slaves here. */
  onGrant (body: Body<'namedGrant'>): void {
    const { core } = this
    const wrong = formFault(body)
    if (wrong !== '') throw core.protocol(`a named grant is wrong: ${wrong}`)
    if (body.number <= this.taken) { this.answer(body.number, 'void'); return } // Taken back before it came.
    if (!core.isServing) { this.refuse(body, 'full'); return }
    const spent = this.pads.claim(body.pads)
    if (spent !== '') throw core.protocol(`a named grant whose pads are not there: ${spent}`)
    const fault = this.mayTake(body)
    const sealed = fault === '' ? this.seal(body) : undefined
    const result = core.commit((tx) => {
      this.pads.write(tx, body.pads)
      this.count(tx, body.number)
      if (sealed === undefined) return fault === '' ? 'full' : fault
      if (!this.keys.makeRoom(tx, body.keys.length)) return 'full'
      this.keys.add(tx, body.number, this.rowOf(body), sealed.records, sealed.slot)
      return ''
    })
    core.durable(() => { this.answer(body.number, result) })
    this.pads.letGo(body.pads)
  }

  private refuse (body: Body<'namedGrant'>, fault: GrantFault): void {
    this.core.commit((tx) => { this.count(tx, body.number) })
    this.core.durable(() => { this.answer(body.number, fault) })
  }

  private answer (number: number, fault: GrantFault | ''): void { this.core.send('namedGrantAck', { number, fault }) }

  private count (tx: KvWriter, number: number): void {
    if (number <= this.taken) return
    this.taken = number
    writeCount(tx, this.core.pool, 'taken', number)
  }

  private mayTake ({ master, slaves, keys }: Body<'namedGrant'>): GrantFault | '' {
    if (slaves.length > SLAVES_MAX || this.core.deps.admit(master, slaves) !== '') return 'refused'
    return keys.some((id) => this.keys.has(uuidText(id))) ? 'refused' : ''
  }

  private rowOf ({ master, slaves, sizeBytes, keys, relayed, paths, hybrid }: Body<'namedGrant'>): GrantedRow {
    return { master, slaves, sizeBytes, ids: Uint8Array.from(Buffer.concat(keys)), traits: { route: relayed ? 'relayed' : 'direct', paths, hybrid }, bornMs: this.core.deps.ageMs() }
  }

  /** The pads come off inside the vault and each key is sealed under its ID. Undefined if our side of the pads does not open, or there is no room. */
  private seal (body: Body<'namedGrant'>): Sealed | undefined {
    const { vault, keys, incarnation } = this.core.deps
    const unit = unitOf(body.sizeBytes), records: Uint8Array[] = []
    try {
      const { sealer, slot } = keys.sealer(this.core.pool)
      for (const [i, id] of body.keys.entries()) {
        const at = i * unit
        const record = withCuts(this.pads, cutsOver(body.pads, at, body.sizeBytes), (segments) => {
          const header = makeRecordHeader(RECORD_KIND.granted, { link: 0, id: hex(id), offset: 0 }, body.sizeBytes, slot, incarnation.number)
          return this.scratch.slice(0, vault.sealPads(sealer, header, segments, body.data.subarray(at, at + body.sizeBytes), this.scratch, false))
        })
        if (record === undefined) return undefined
        records.push(record)
      }
      return { records, slot }
    } catch (error) {
      if (!PASSING.includes((error as { code?: unknown }).code)) throw error
      return undefined
    }
  }

  /** They are over, whether they have come or not. In the transaction of the message's number. */
  onEnd (tx: KvWriter, { numbers, cut }: Body<'namedGrantEnd'>): () => void {
    for (const number of numbers) {
      this.count(tx, number)
      this.keys.erase(tx, number)
    }
    return this.burn(tx, cut)
  }

  /** Keys that were cut from our lane of this pool, and that no master is ever told of: nobody gets them, here or there. */
  burnCut (keys: readonly CutKey[]): void {
    const { core } = this
    core.commit((tx) => {
      const then = this.burn(tx, keys)
      for (let at = 0; at < keys.length; at += CUT_MAX) core.enqueue(tx, 'namedGrantEnd', { numbers: [], cut: keys.slice(at, at + CUT_MAX) })
      core.durable(then)
    })
  }

  closed (): void { this.offers.closed() }

  tick (): void {
    this.offers.expire()
    this.keys.expire()
  }

  /** The pool is void, and with it every grant over it, in both directions. Inside a commit. */
  clear (tx: KvWriter): void {
    this.offers.clear(tx)
    this.keys.clear(tx)
    this.taken = 0 // The peer may have another store, whose numbers begin anew; the pads of what is late are gone.
    writeCount(tx, this.core.pool, 'taken', 0)
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Bytes that a key takes of a lane. */
export const unitOf = (sizeBytes: number): number => sizeBytes + 7 & ~7

/** What no honest peer sends. */
const formFault = ({ number, master, slaves, keys, sizeBytes, pads, data }: Body<'namedGrant'>): string => {
  if (number === 0) return 'it has no number'
  if (data.length !== keys.length * unitOf(sizeBytes) || sumOf(pads) !== data.length) return 'keys, pads and data differ in length'
  if (new Set(keys.map(hex)).size !== keys.length) return 'a key ID is there twice'
  return slaves.includes(master) || new Set(slaves).size !== slaves.length ? 'an SAE is there twice' : ''
}
