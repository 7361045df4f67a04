import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { CUT_TAKEN } from '../../src/device/native.js'
import { recordHeader, testVault } from './vault-support.js'

interface Hit { readonly address: number, readonly region: number }
/** Values of `bytes` that are 255 minus each: the test must not hold the bytes that it looks for. */
type Inverted = readonly number[]

/** Where this process holds the bytes, in all of its writable memory. */
const scan = (memory: number, wanted: Inverted): Hit[] => {
  const hits: Hit[] = [], chunk = Buffer.alloc(1 << 20), again = Buffer.alloc(wanted.length), first = 255 - wanted[0]!
  const isAt = (bytes: Buffer, at: number): boolean => wanted.every((value, j) => bytes[at + j] === 255 - value)
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
    if (from === undefined || to === undefined) continue
    const start = parseInt(from, 16), end = parseInt(to, 16)
    // Steps overlap, so that nothing hides at a seam.
    for (let at = start; at < end; at += chunk.length - wanted.length) {
      let length = 0
      try {
        length = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at)
      } catch {
        break // Reserved but never mapped.
      }
      const found: number[] = []
      for (let i = chunk.indexOf(first); i >= 0 && i + wanted.length <= length; i = chunk.indexOf(first, i + 1)) if (isAt(chunk, i)) found.push(at + i)
      chunk.fill(0)
      // Where this piece of memory is the chunk itself, or lies before it, the chunk has read its own copies.
      for (const address of found) {
        readSync(memory, again, 0, again.length, address)
        if (isAt(again, 0)) hits.push({ address, region: start })
        again.fill(0)
      }
    }
  }
  return hits
}

/** The flags of a mapping (man 5 proc, VmFlags). */
const flagsOf = (region: number): string[] => {
  const lines = readFileSync('/proc/self/smaps', 'utf8').split('\n')
  const at = lines.findIndex(line => line.startsWith(region.toString(16).padStart(8, '0') + '-'))
  return (lines.slice(at).find(line => line.startsWith('VmFlags:')) ?? '').split(/\s+/)
}

/** The inverted bytes of the Base64 text that begins at `at`, never as bytes. */
const invertedKey = (out: Uint8Array, at: number, length: number): Inverted => {
  const digit = (i: number): number => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(String.fromCharCode(out[at + i]!))
  return Array.from({ length }, (_, n) => {
    const i = Math.floor(n / 3) * 4 + n % 3
    return 255 - ((digit(i) << 2 * (n % 3 + 1) | digit(i + 1) >> 4 - 2 * (n % 3)) & 255)
  })
}

const openMemory = (): number | undefined => {
  try {
    return openSync('/proc/self/mem', 'r')
  } catch {
    return undefined
  }
}

const vault = testVault(64)
// Without privileges a process that forbids dumps cannot read its own memory: that the test cannot look is the promise kept.
const memory = openMemory() ?? -1
t.test('key bytes are in locked, undumpable, uninherited memory only, and nowhere after delivery', { skip: memory < 0 && '/proc/self/mem is not readable' }, async t => {
  const key = vault.newKey(), sealer = vault.createSealer(key, 1), record = new Uint8Array(4096), sizes = Uint32Array.of(1000, 1000)
  const block = vault.createBlock(1, vault.newKey(), sizes)
  for (const [index, size] of sizes.entries()) vault.loadFrame(block, index, key, record.subarray(0, vault.sealRandom(sealer, recordHeader(size), size, record)))
  vault.confirmTag(block, 1, new Uint8Array(100))
  const lane = vault.createLane(), out = new Uint8Array(4096)
  vault.lanePush(lane, block, 0, 1952, true)
  // The 32nd key lies in both frames, and so is gathered before it is written.
  const text = 9 + 11 + 36 + 9
  vault.cut(lane, 31, 32, 0, '', '', out, new Uint32Array(CUT_TAKEN))
  const early = invertedKey(out, text, 32)
  const found = scan(memory, early)
  t.equal(found.length, 1, 'while its frame is in use, a key is in the arena and nowhere else')
  for (const flag of ['lo', 'dd', 'dc']) t.ok(flagsOf(found[0]!.region).includes(flag) || (flag === 'lo' && !vault.stats().locked), `its mapping has the flag ${flag}`)
  t.ok(vault.cut(lane, 1, 32, 0, '', '', out, new Uint32Array(CUT_TAKEN)) > 0)
  const straddling = invertedKey(out, text, 32)
  t.equal(scan(memory, early).length, 0, 'a frame that was passed is gone')
  t.equal(scan(memory, straddling).length, 0, 'the gathered copy is gone')
  t.equal(scan(memory, straddling.slice(8)).length, 1, 'the part in the second frame is still there')
  t.ok(vault.cut(lane, 1, 928, 0, '', '', out, new Uint32Array(CUT_TAKEN)) > 0)
  t.equal(scan(memory, straddling.slice(8)).length, 0)
  const base64 = Array.from(out.subarray(text, text + 40), byte => 255 - byte)
  t.equal(scan(memory, base64).length, 1, 'the answer exists once, in the caller\'s buffer')
  vault.wipe(out)
  t.equal(scan(memory, base64).length, 0)
  t.same(out, new Uint8Array(4096))
  closeSync(memory)
})

t.test('memory that cannot be locked stops the start, and says what to do', async t => {
  const addon = fileURLToPath(new URL('../../../build/Release/qkme.node', import.meta.url))
  const script = (allow: boolean): string => `try { console.log(JSON.stringify(require(${JSON.stringify(addon)})
    .createVault({ arenaBytes: 4 << 20, allowUnlockedMemory: ${allow} }).stats())) } catch (e) { console.log(e.code + ' ' + e.message + ' ' + e.constructor.name) }`
  // A privileged process may lock without limit, so it gives that right up first.
  const drop = process.geteuid?.() === 0 ? ['setpriv', '--bounding-set=-ipc_lock', '--inh-caps=-ipc_lock'] : []
  const run = (allow: boolean): string => {
    const [command, ...rest] = [...drop, 'sh', '-c', 'ulimit -l 64 && exec "$0" -e "$1"', process.execPath, script(allow)]
    const { stdout, stderr, error } = spawnSync(command!, rest, { encoding: 'utf8' })
    if (error !== undefined || stdout === '') throw error ?? new Error(stderr)
    return stdout
  }
  t.match(run(false), /^MEMORY_NOT_LOCKED cannot lock 4096 KiB .*ulimit -l.*LimitMEMLOCK.*allow_unlocked_memory.* Error\n$/)
  t.match(JSON.parse(run(true)), { locked: false, cellsTotal: 1024 })
})
