import t from 'tap'
import { checkRandomSource } from '../../src/crypto/health.js'
import type { Random } from '../../src/kernel/random.js'
import { systemRandom } from '../../src/kernel/system-random.js'

const broken = (change: (bytes: Uint8Array) => Uint8Array | void): Random => ({
  bytes: (length) => { const bytes = systemRandom.bytes(length); return change(bytes) ?? bytes },
  integer: (bound) => systemRandom.integer(bound),
})

t.test('the system source passes', async t => {
  for (let i = 0; i < 20; i++) t.doesNotThrow(() => { checkRandomSource(systemRandom) })
})

t.test('sources that are stuck, short or biased are refused', async t => {
  const cases: [RegExp, (bytes: Uint8Array) => Uint8Array | void][] = [
    [/same byte came 4096 times in a row/, (b) => { b.fill(0) }],
    [/same byte came 6 times in a row/, (b) => { b.fill(0x5a, 100, 106); b[99] = 0; b[106] = 0 }],
    [/same bit 3 came/, (b) => { b.forEach((v, i) => { b[i] = v & 0xf7 }) }],
    [/same bit 7 came/, (b) => { b.forEach((v, i) => { b[i] = i % 40 === 0 ? v : v & 0x7f }) }],
    [/same byte came \d+ times among 512/, (b) => { b[0] = 7; for (let i = 0; i < 512; i += 20) b[i] = 7 }],
    [/gave 100 bytes/, (b) => b.subarray(0, 100)],
  ]
  for (const [message, change] of cases) t.throws(() => { checkRandomSource(broken(change)) }, { code: 'RANDOM_FAILED', message })
})

t.test('just below the cut-off passes', async t => {
  const bytes = new Uint8Array(4096).map((_, i) => (i * 73 + (i >> 8) * 31) & 0xff)
  const source: Random = { bytes: () => bytes.slice(), integer: () => 0 }
  t.doesNotThrow(() => { checkRandomSource(source) })
  bytes.fill(0xff, 10, 15)
  t.doesNotThrow(() => { checkRandomSource(source) }, 'five equal bytes')
})
