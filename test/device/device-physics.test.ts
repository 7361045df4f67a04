import t from 'tap'
import { PhysicsSupply } from '../../sim/device/physics.js'
import type { BlockNews } from '../../sim/device/physics.js'
import { parseOptions } from '../../sim/device/options.js'
import { SimClock } from '../../sim/clock.js'

const supply = (seed: number) => {
  const clock = new SimClock(), news: BlockNews[] = []
  const physics = new PhysicsSupply({ preset: 'metro-25km', blockBits: 1_000_000, seed }, clock, (block) => { news.push(block) })
  const until = (blocks: number): void => {
    for (let i = 0; news.length < blocks && i < 500; i++) {
      clock.advance(50)
      // The clock stands still within a turn, so a turn does all that is owed.
      physics.turn()
    }
  }
  return { physics, news, until }
}

t.test('a simulated link feeds a device: key, then Eve and no key, then key again', async t => {
  const { physics, news, until } = supply(1)
  until(1)
  t.ok(news[0]!.keyBytes > 1_000 && news[0]!.qber < 0.035, JSON.stringify(news[0]))
  const key = physics.takeKey(1_000)!
  t.equal(Buffer.compare(key.alice, key.bob), 0, 'both ends have the same bytes')
  t.notOk(key.alice.every((byte) => byte === 0))
  t.equal(physics.takeKey(1e9), undefined, 'never more than there is')
  physics.setEve({ kind: 'intercept-resend', share: 1 })
  until(3)
  t.equal(news[2]!.keyBytes, 0)
  t.equal(news[2]!.reason, 'qber')
  t.ok(news[2]!.qber > 0.25, `${news[2]!.qber}`)
  physics.setEve(undefined)
  until(5)
  t.ok(news[4]!.keyBytes > 1_000)
  physics.stop()
})

t.test('the same seed gives the same key, another one another', async t => {
  const key = (seed: number): Buffer => {
    const { physics, until } = supply(seed)
    until(1)
    return Buffer.from(physics.takeKey(2_000)!.alice)
  }
  const first = key(2)
  t.ok(first.equals(key(2)))
  t.notOk(first.equals(key(3)))
})

t.test('options that contradict each other are refused with words', async t => {
  const base = ['--ring-a', 'x', '--link', '1']
  const refused = (...more: string[]): void => { t.throws(() => parseOptions([...base, ...more]), { code: 'CONFIG_INVALID' }, more.join(' ')) }
  refused('--physics', 'nowhere')
  refused('--physics', 'metro-25km', '--rate', '1M')
  refused('--physics', 'metro-25km', '--qber', '0.01')
  refused('--physics', 'metro-25km', '--seed', '1', '--state', 's')
  refused('--physics-block', '1000000')
  t.match(parseOptions([...base, '--physics', 'metro-25km', '--seed', '7']), { physics: { preset: 'metro-25km', blockBits: 2_000_000, seed: 7 }, blockFrames: 4 })
})
