/** The table of design: who may import what, and who owns the calls that nobody else may make. */

export interface Layer {
  /** Layers whose code it may import. */
  readonly code: readonly string[]
  /** Layers of which it may import types only. */
  readonly types: readonly string[]
}

/** `src/device/native.ts` and `src/pool/service.ts` are contracts: any layer but the kernel and the machines may import their types. */
export const contracts: readonly string[] = ['src/device/native.ts', 'src/pool/service.ts', 'src/admin/port.ts', 'src/peer/ports.ts', 'src/peer/messages.ts']

/** Imports go one way: kernel <- machines <- adapters <- runtime <- main. */
export const layers: Readonly<Record<string, Layer>> = {
  'src/kernel': { code: [], types: [] },
  machines: { code: ['src/kernel'], types: [] },
  'src/config': { code: ['src/kernel'], types: [] },
  'src/crypto': { code: ['src/kernel'], types: [] },
  'src/store': { code: ['src/kernel', 'src/crypto'], types: ['src/device'] },
  'src/device': { code: ['src/kernel'], types: ['machines', 'src/store'] },
  'src/post': { code: ['src/kernel'], types: [] },
  'src/pool': { code: ['src/kernel', 'src/store', 'src/device'], types: ['src/peer'] },
  'src/peer': { code: ['src/kernel', 'src/crypto', 'src/pool'], types: ['machines', 'src/http', 'src/device'] },
  'src/routing': { code: ['src/kernel', 'src/crypto'], types: [] },
  'src/hybrid': { code: ['src/kernel'], types: ['src/device', 'src/peer'] },
  'src/relay': { code: ['src/kernel', 'src/device', 'src/store', 'src/pool', 'src/peer'], types: [] },
  'src/http': { code: ['src/kernel', 'src/crypto', 'src/pool'], types: [] },
  'src/admin': { code: ['src/kernel'], types: [] },
  'src/runtime': { code: ['machines', 'src/kernel', 'src/config', 'src/crypto', 'src/store', 'src/device', 'src/pool', 'src/peer', 'src/routing', 'src/hybrid', 'src/relay', 'src/http', 'src/admin'], types: [] },
  'src/cli': { code: ['src/kernel', 'src/config', 'src/crypto', 'src/store', 'src/device', 'src/post'], types: ['src/admin', 'src/runtime'] },
  'src/main.ts': { code: ['src/kernel', 'src/runtime', 'src/config', 'src/cli'], types: [] },
  sim: { code: ['src/kernel', 'src/config', 'src/crypto', 'src/store', 'src/device', 'src/post', 'src/pool', 'src/peer', 'src/routing', 'src/hybrid', 'src/relay', 'machines'], types: ['src/runtime', 'src/admin'] },
}

/** Files that may import code beyond their layer, each with its reason. */
export const importExceptions: Readonly<Record<string, { readonly allows: readonly string[], readonly why: string }>> = {
  'sim/network/processes.ts': { allows: ['src/cli/admin-client.ts', 'src/cli/start/child.ts'], why: 'runs KMEs as processes and asks them, as the command line does' },
  'src/cli/commands/serve.ts': { allows: ['src/main.ts'], why: 'starts the process' },
}

/** Packages that only these files may load. */
export const packageOwners: Readonly<Record<string, readonly string[]>> = {
  'uWebSockets.js': ['src/http/uws.ts', 'src/http/app.ts'],
  xstate: ['machines/', 'src/runtime/', 'src/device/ring-actor.ts', 'src/peer/peer-actor.ts'],
  lmdb: ['src/store/'],
  'prom-client': ['src/admin/metrics.ts'],
  pino: ['src/runtime/'],
  '@noble/post-quantum': ['src/hybrid/kem.ts'],
  msgpackr: ['src/peer/', 'src/pool/rows.ts'],
}

/** Banned calls and the files that own them, with the reason of each. A path that ends in `/` is a folder. */
export const callOwners: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'Date.now': { 'src/kernel/system-clock.ts': 'the clock' },
  'performance.now': { 'src/kernel/system-clock.ts': 'the clock' },
  'new Date()': {},
  'Math.random': {},
  setTimeout: { 'src/kernel/system-clock.ts': 'the clock' },
  setInterval: { 'src/kernel/system-clock.ts': 'keeps the process alive' },
  setImmediate: {
    'src/kernel/system-clock.ts': 'the port itself',
    'sim/clock.ts': 'lets promises settle between simulated timers',
    'sim/device/': 'answers a command before it stops',
    'src/device/ring-source.ts': 'one drain per turn of the event loop',
    'src/store/lmdb.ts': 'one batch per turn of the event loop',
    'src/http/bursts.ts': 'the end of a turn of the event loop',
    'src/http/server.ts': 'lets the last answer reach its socket',
  },
  'process.env': { 'src/kernel/environment.ts': 'hands settings to whoever configures' },
  console: { 'src/cli/output.ts': 'prints' },
}

export const LINES_MAX = 400
export const LINES_USUAL = 250
export const FUNCTION_LINES_MAX = 60

/** Functions that are tables of states or settings, not procedures. */
export const longFunctions: Readonly<Record<string, string>> = {
  'machines/root.ts:rootMachine': 'a machine\'s table of states',
  'machines/supervise.ts:supervise': 'a machine\'s table of states',
  'machines/server.ts:serverMachine': 'a machine\'s table of states',
}
