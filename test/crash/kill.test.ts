import t from 'tap'
import { campaign, KEYS_MIN } from './campaign.js'

t.test('killed at random moments under load: no key twice, equal IDs have equal bytes, what was promised is kept', async (t) => {
  const result = await campaign(6, (line) => { t.comment(line) })
  t.same(result.faults.slice(0, 10), [])
  t.ok(result.keys > KEYS_MIN, `${result.keys} keys`)
  t.ok(result.fetched > KEYS_MIN, `${result.fetched} fetched`)
  t.equal(result.accounts.a.differenceBits, 0, 'every bit of A is accounted for')
  t.equal(result.accounts.b.differenceBits, 0, 'every bit of B is accounted for')
})
