import type { Config } from '../config/schema.js'
import { loadNative, type NativeAddon, type NativeVault } from '../device/native.js'
import { invariant, KmeError } from '../kernel/errors.js'
import type { KmeId } from '../kernel/ids.js'
import type { Log } from '../kernel/log.js'
import type { Random } from '../kernel/random.js'
import type { Cancel, Clock } from '../kernel/time.js'
import type { AnswerDetails } from '../pool/describe.js'
import { ExtensionRegistry, type KeyConstraint } from '../pool/extensions.js'
import { PoolKeyService } from '../pool/key-service.js'
import type { KeyPool } from '../pool/key-pool.js'
import { LocalPool } from '../pool/local-pool.js'
import { Pool } from '../pool/pool.js'
import type { PoolDeps, PoolEvent, PoolLimits } from '../pool/ports.js'
import { comesBack, type AutomaticLimits } from '../relay/automatic.js'
import { RelayedPools } from '../relay/pools.js'
import { AuditTrail } from '../store/audit.js'
import { openStore, type Store } from '../store/open.js'
import { SaeDirectory } from './directory.js'
import type { StorePort } from './store-shell.js'

const TICK_MS = 250
const DAY_MS = 86_400_000
const SWEEP_MS = 60_000
const SPACE_MS = 1_000
const SPACE_MARGIN_BYTES = 64 << 20

export interface KeyspaceOptions {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** A pool, by its name, told something. */
  readonly onPoolEvent: (pool: string, event: PoolEvent) => void
  readonly soon: (fn: () => void) => void
  /** Whether sealed records wait outside the store. */
  readonly recordsWaiting: () => boolean
  /** Keys with a KME are asked for that no pool can give: whether such a pool opens by itself. */
  readonly wanted: (kme: KmeId, demand: KeyConstraint) => boolean
}

/** Everything that exists while the store is open. */
export interface OpenKeyspace {
  readonly store: Store
  readonly audit: AuditTrail
  readonly directory: SaeDirectory
  /** Pools with neighbours, fed by links. */
  readonly pools: ReadonlyMap<KmeId, Pool>
  /** Pools with KMEs that the relay fills. */
  readonly relayed: RelayedPools
  readonly local: LocalPool | undefined
  /** Every pool, by its name: a neighbour's KME, `relay:` and a far KME, or our own KME. */
  readonly all: ReadonlyMap<string, Pool | LocalPool>
  readonly service: PoolKeyService
}

type StoreWatcher = Parameters<StorePort['watch']>[0]

/**
 * The vault, the store, and the pools over them: opened and closed together, because nothing of them can outlive the store.
 */
export class Keyspace implements StorePort {
  readonly addon: NativeAddon
  readonly vault: NativeVault
  /** False while the process stops: the key service refuses. */
  accepting = true
  private opened: OpenKeyspace | undefined
  private watcher: StoreWatcher | undefined
  private readonly timers = new Set<Cancel>()
  private isFull = false
  private isClosing = false

  /** @throws with code `ADDON_MISSING`, `MEMORY_NOT_LOCKED`. */
  constructor (private readonly o: KeyspaceOptions) {
    this.addon = loadNative()
    this.vault = this.addon.createVault({ arenaBytes: o.config.memory.arenaBytes, allowUnlockedMemory: o.config.memory.allowUnlocked })
  }

  /** @throws invariant if the store is not open: parts start after it. */
  get now (): OpenKeyspace {
    invariant(this.opened !== undefined, 'the store is open')
    return this.opened
  }

  /** Nothing more can be written: frames wait in their ring. */
  get full (): boolean { return this.isFull }
  get isOpen (): boolean { return this.opened !== undefined }

  watch (on: StoreWatcher): Cancel {
    this.watcher = on
    return () => { if (this.watcher === on) this.watcher = undefined }
  }

  fail (error: unknown): void {
    this.accepting = false
    this.o.log.error('the store failed', { error })
    this.watcher?.({ type: 'failed', error })
  }

  async open (): Promise<void> {
    const { config, clock, random } = this.o
    const { file, passphraseFile } = config.store.masterKey
    const store = await openStore({
      folder: config.store.folder, master: file !== undefined ? { keyFile: file } : { passphraseFile: passphraseFile ?? '' },
      vault: this.vault, random, clock, mapBytes: config.store.mapSizeBytes, reserveBytes: config.store.reserveBytes, copies: config.store.copies === 'void' ? 'void' : 'refuse',
      create: true, onFailure: (error) => { this.fail(error) },
    })
    if (store.migrated.length > 0) this.o.log.info('store migrated', { steps: store.migrated })
    const audit = new AuditTrail({
      vault: this.vault, kv: store.kv, clock, key: store.keys.auditKey, keyIsNew: store.keys.auditKeyIsNew,
      days: config.audit.days, maxBytes: config.audit.maxBytes, onFailure: (error) => { this.fail(error) },
    })
    const directory = new SaeDirectory(config, store.kv, (sae, first, second) => {
      this.o.log.security({ category: 'peer', severity: 'high', event: 'sae.claimedTwice', subject: sae, outcome: 'refused', fields: { first, second } })
    })
    this.opened = this.build(store, audit, directory)
    this.isClosing = false
    this.opened.relayed.dropUnwanted()
    if (store.mustVoid !== undefined) this.confirmVoid(store, store.mustVoid.detail)
    this.schedule()
  }

  private build (store: Store, audit: AuditTrail, directory: SaeDirectory): OpenKeyspace {
    const { config } = this.o
    const pools = new Map(config.peers.map((p) => [p.kme, new Pool(this.depsOf(p.kme, store, audit, directory), config.links.filter((l) => l.peer === p.kme).map((l) => l.id))]))
    const local = config.localPool.enabled ? new LocalPool(this.depsOf(config.kme.id, store, audit, directory), config.localPool.stockBytes) : undefined
    const { clock, soon } = this.o
    const all = new Map<string, Pool | LocalPool>([...pools.values(), ...(local === undefined ? [] : [local])].map((pool) => [pool.core.pool, pool]))
    const configured = config.network.relay.pools, automatic = automaticOf(config)
    const relayed = new RelayedPools({ self: config.kme.id, kv: store.kv, all, make: (remote, id, link, traits) => underHold(new Pool(this.depsOf(remote, store, audit, directory, id), [link], traits), all.values()) })
    relayed.open(configured, (remote, count) => comesBack(automatic, config.kme.id, remote, count) ? automatic.stockBytes : undefined)
    const alone = new Map<KmeId, readonly KeyPool[]>([...pools].map(([kme, pool]) => [kme, [pool]]))
    alone.set(config.kme.id, local === undefined ? [] : [local])
    const poolsWith = (kme: KmeId): readonly KeyPool[] => {
      const direct = alone.get(kme), others = relayed.poolsWith(kme)
      return direct === undefined ? others : others.length === 0 ? direct : [...direct, ...others]
    }
    const service = new PoolKeyService({
      self: config.kme.id, clock, vault: this.vault, kv: store.kv, soon, fatal: (error) => { this.fail(error) },
      security: (event, detail) => { this.security(event, 'key service', detail) },
      poolsWith, pools: () => all.values(), wanted: this.o.wanted, policy: directory,
      sizes: {
        defaultBits: config.pools.keySizeBits, minBits: config.pools.minKeySizeBits, maxBits: config.pools.maxKeySizeBits,
        maxPerRequest: config.pools.maxKeyPerRequest, maxKeyCount: config.pools.maxKeyCount, maxSaeIds: config.pools.maxSaeIdCount,
        leaseWaitMs: config.pools.leaseWaitMs, foreignIdsPerS: config.rateLimits.foreignIdsPerS,
      },
      reserve: config.pools.reserve, extensions: new ExtensionRegistry(),
      details: { keys: config.pools.keyExtension as AnswerDetails['keys'], status: config.pools.statusExtension, localSource: config.localPool.sourceName },
      audit, accepting: () => this.accepting && !this.isFull,
    })
    return { store, audit, directory, pools, relayed, local, all, service }
  }

  private depsOf (remote: KmeId, store: Store, audit: AuditTrail, directory: SaeDirectory, poolId: string = remote): PoolDeps {
    const { config, clock, random, soon } = this.o
    return {
      self: config.kme.id, remote, poolId, kv: store.kv, clock, ageMs: () => store.age.ageMs(), random, vault: this.vault, keys: store.keys,
      incarnation: { storeId: store.storeId, number: store.start.number, nonce: store.start.nonce, known: (n, nonce) => store.known(n, nonce) },
      limits: poolLimitsOf(config), disowned: store.mustVoid?.detail ?? '', soon, fatal: (error) => { this.fail(error) },
      emit: (event) => { this.told(poolId, event) },
      admit: (master, slaves) => directory.admit(remote, master, slaves), ownSaes: () => directory.ownSaes(),
      announced: (kme, saes) => { directory.announced(kme, saes) }, auditHead: () => audit.head(),
    }
  }

  private told (pool: string, event: PoolEvent): void {
    if (event.type === 'security') this.security(event.event, pool, event.detail)
    if (event.type === 'pool.voiding') this.opened?.service.voiding(event.pool)
    this.o.onPoolEvent(pool, event)
  }

  private security (event: string, subject: string, detail: string): void {
    this.o.log.security({ category: event.startsWith('peer') ? 'peer' : 'integrity', severity: 'high', event, subject, outcome: 'detected', fields: { detail } })
  }

  /** A copy, a restored or a zeroized store: its pools began by voiding all stock; now it is itself again. */
  private confirmVoid (store: Store, detail: string): void {
    store.kv.transact((tx) => { store.confirmVoid(tx) })
    this.o.log.security({ category: 'store', severity: 'critical', event: 'store.voided', subject: store.folder, outcome: 'detected', fields: { detail } })
  }

  // --- time -------------------------------------------------------------------------------------------------------

  private every (ms: number, fn: () => void): void {
    let cancel: Cancel = () => {}
    const again = (): void => {
      this.timers.delete(cancel)
      cancel = this.o.clock.after(ms, () => {
        if (this.opened === undefined) return
        try { fn() } catch (error) { this.fail(error); return }
        again()
      })
      this.timers.add(cancel)
    }
    again()
  }

  /** A pool a turn: all of them in one would hold requests up for milliseconds. */
  private tick (pools: readonly (Pool | LocalPool)[]): void {
    const [pool, ...others] = pools
    if (pool === undefined || this.opened === undefined || this.isClosing) return
    if (this.opened.all.get(pool.core.pool) === pool) pool.tick() // It may have been given up since.
    if (others.length > 0) this.o.soon(() => { try { this.tick(others) } catch (error) { this.fail(error) } })
  }

  private schedule (): void {
    this.every(TICK_MS, () => { this.tick([...this.now.all.values()]) })
    this.every(SWEEP_MS, () => {
      this.now.audit.trim()
      if (this.o.recordsWaiting()) return // Sealed and not stored yet: their slot must stay.
      this.now.store.keys.retire() // The hour's key takes no more records; those that hold none are erased.
      this.now.store.keys.sweep().catch((error: unknown) => { this.fail(error) })
    })
    this.every(SPACE_MS, () => { this.checkSpace() })
  }

  private checkSpace (): void {
    const { freeBytes, usedBytes, limitBytes } = this.now.store.kv.stats()
    // Before the store itself refuses, so that work stops in order: no ingest, no delivery, and the process lives.
    const full = freeBytes < this.o.config.store.reserveBytes + SPACE_MARGIN_BYTES || usedBytes > limitBytes * 0.9
    if (full === this.isFull) return
    this.isFull = full
    this.watcher?.({ type: full ? 'full' : 'space' })
  }

  private stopTimers (): void {
    for (const cancel of this.timers) cancel()
    this.timers.clear()
    this.isClosing = true
  }

  async close (): Promise<void> {
    const { opened } = this
    if (opened === undefined) return
    this.accepting = false
    this.stopTimers()
    opened.service.stop()
    await opened.local?.stop()
    this.opened = undefined
    for (const pool of opened.all.values()) pool.dispose()
    opened.audit.close()
    try {
      await opened.store.close()
    } catch (cause) {
      throw cause instanceof KmeError ? cause : new KmeError('STORE_UNAVAILABLE', 'the store did not close cleanly', { cause })
    }
  }

  /** Overwrites every key slot and wipes memory. Only ending the process can follow. */
  async zeroize (): Promise<void> {
    this.accepting = false
    this.stopTimers()
    await this.now.store.zeroize()
    this.vault.zeroize()
  }
}

/** The schema's text is one of these. */
export const automaticOf = ({ network }: Config): AutomaticLimits => network.relay.automatic as AutomaticLimits

/** An operator holds a KME, not a pool: another pool with it is held, too. */
const underHold = (pool: Pool, others: Iterable<Pool | LocalPool>): Pool => {
  for (const other of others) if (other.kind !== 'local' && other.core.deps.remote === pool.core.deps.remote && other.holds.here !== '' && pool.holds.here === '') pool.holds.hold(other.holds.here)
  return pool
}

const poolLimitsOf = (config: Config): PoolLimits => {
  const p = config.pools
  return {
    keyTtlMs: p.keyTtlMs, fetchTtlMs: p.fetchTtlMs, runwayMs: p.runwayMs, leaseMs: p.leaseMs, leaseMinBytes: p.leaseMinBytes, leaseMaxBytes: p.leaseMaxBytes,
    peerAbsenceMaxMs: p.peerAbsenceMaxMs, blockCloseMs: p.blockCloseMs, missingFrameMs: p.missingFrameMs, authReserveBytes: p.authReserveBytes,
    authFloorBytes: p.authFloorBytes, associationsPerSae: p.associationsPerSae, associationsPerEpoch: 60_000, epochBlocksMax: 2 ** 30,
    epochAgeMaxMs: p.idEpochDays * DAY_MS,
    maxStockBytes: 2 * p.maxKeyCount * Math.ceil(p.keySizeBits / 64) * 8, // Each side owns about half.
  }
}
