import t from 'tap'
import { PathIds } from '../../src/http/path-ids.js'
import { StatusText } from '../../src/http/status-text.js'
import { statusJson } from '../../src/http/wire.js'
import type { PoolStatus } from '../../src/pool/service.js'

const status = (storedKeyCount: number, change: Partial<PoolStatus> = {}): PoolStatus => ({
  sourceKme: 'kme-a', targetKme: 'kme-b', keySizeBits: 256, storedKeyCount, maxKeyCount: 2_000_000, maxKeyPerRequest: 128,
  maxKeySizeBits: 8_192, minKeySizeBits: 64, maxSaeIdCount: 8, ...change,
})

t.test('a status text is what its JSON says, whatever was told before', async (t) => {
  const texts = new StatusText()
  const check = (caller: string, slave: string, what: PoolStatus): void => {
    t.equal(Buffer.from(texts.bytes(caller, slave, what)).toString(), statusJson(caller, slave, what), `${caller} ${slave} ${what.storedKeyCount}`)
  }
  for (const count of [0, 9, 1, 10, 99, 100, 25_000, 24_999, 10_000, 9_999, 99_999, 2_000_000, 3_000_000, 1_999_999, 0, 7]) {
    check('sae-a', 'sae-b', status(count))
    check('sae-a', 'sae-c', status(count + 1))
    check('sae-x', 'sae-b', status(12))
  }
  const changes: Partial<PoolStatus>[] = [
    { sourceKme: 'kme-x' }, { targetKme: 'kme-c' }, { keySizeBits: 128 }, { maxKeyCount: 3_000_000 }, { maxKeyPerRequest: 127 },
    { maxKeySizeBits: 4_096 }, { minKeySizeBits: 8 }, { maxSaeIdCount: 0 }, { extension: { stored: 7 } },
  ]
  for (const change of changes) {
    check('sae-a', 'sae-b', status(500))
    check('sae-a', 'sae-b', status(500, change))
  }
  for (let i = 0; i < 9_000; i++) texts.bytes('sae-a', `sae-${i}`, status(i))
  check('sae-a', 'sae-8999', status(8_998))
  check('sae-a', 'sae-b', status(501))
})

t.test('IDs of paths are checked once and come back as they were; their number is bounded', async (t) => {
  const ids = new PathIds()
  for (let round = 0; round < 2; round++) {
    t.equal(ids.read('a%2Fb', 'x'), 'a/b')
    t.equal(ids.read('a%252Fb', 'x'), 'a%2Fb')
    t.throws(() => ids.read('a%20b', 'x'), { code: 'BAD_REQUEST' })
  }
  t.equal(ids.entries, 2, 'what is no ID is not kept')
  for (let i = 0; i < 20_000; i++) ids.read(`sae-${i}`, 'x')
  t.ok(ids.entries <= 8_192)
})
