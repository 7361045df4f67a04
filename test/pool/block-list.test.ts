import fc from 'fast-check'
import t from 'tap'
import { BlockList } from '../../src/pool/block-list.js'
import { CONFIRM_BYTES, usableBytes, type BlockRow } from '../../src/pool/rows.js'

const row = (index: number, bytes: number): BlockRow => ({
  number: index, owner: 'mine', purpose: 'app', lane: 0, epoch: 1, state: 'open', bytes: bytes + CONFIRM_BYTES, index, spent: 0, bornMs: 0, bornWallMs: 0, closedMs: 0,
})

type Step = readonly [kind: 'add' | 'shift' | 'spend' | 'takeLast' | 'remove' | 'removeIf' | 'clear', value: number]
const step = fc.tuple(fc.constantFrom('add', 'add', 'add', 'shift', 'spend', 'takeLast', 'remove', 'removeIf', 'clear'), fc.nat(400)) as fc.Arbitrary<Step>

/** The same as an array that is sorted and summed anew each time. */
class Plain {
  rows: BlockRow[] = []
  add (block: BlockRow): void { this.rows = [...this.rows, block].sort((a, b) => a.index - b.index) }
  take (which: (block: BlockRow) => boolean): BlockRow[] {
    const out = this.rows.filter(which)
    this.rows = this.rows.filter((block) => !out.includes(block))
    return out
  }
}

const run = (steps: readonly Step[]): boolean => {
  const list = new BlockList((block) => block.index), plain = new Plain()
  for (const [kind, value] of steps) {
    const known = plain.rows[value % Math.max(1, plain.rows.length)]
    if (kind === 'add' && !plain.rows.some((block) => block.index === value)) {
      const block = row(value, 8 * (value + 1))
      list.add(block)
      plain.add(block)
    } else if (kind === 'shift') {
      if (list.shift() !== plain.rows.shift()) return false
    } else if (kind === 'spend' && known !== undefined) {
      known.spent = value % usableBytes(known)
      list.changed(known)
    } else if (kind === 'takeLast') {
      const count = value % 4, taken = list.takeLast(count)
      if (!same(taken, plain.rows.splice(Math.max(0, plain.rows.length - count)))) return false
    } else if (kind === 'remove' && known !== undefined) {
      if (!list.remove(known) || list.remove(known) || list.has(known)) return false
      plain.take((block) => block === known)
    } else if (kind === 'removeIf') {
      const odd = (block: BlockRow): boolean => block.index % 3 === value % 3
      if (!same(list.removeIf(odd), plain.take(odd))) return false
    } else if (kind === 'clear' && value < 20) {
      list.clear()
      plain.rows = []
    }
    const freeBytes = plain.rows.reduce((sum, block) => sum + usableBytes(block) - block.spent, 0)
    if (!same([...list], plain.rows) || list.freeBytes !== freeBytes || list.size !== plain.rows.length || list.first !== plain.rows[0]) return false
    if (plain.rows.some((block) => !list.has(block)) || list.has(row(401, 8))) return false
  }
  return true
}

const same = (a: readonly BlockRow[], b: readonly BlockRow[]): boolean => a.length === b.length && a.every((block, i) => block === b[i])

t.test('a block list says what a sorted and summed array says', async (t) => {
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), run), { numRuns: 300 })
  t.pass()
})

t.test('the front of a long list is given back', async (t) => {
  const list = new BlockList((block) => block.index)
  for (let i = 1; i <= 5_000; i++) list.add(row(i, 8))
  for (let i = 1; i <= 4_000; i++) t.equal(list.shift()?.index, i)
  const late = row(4_000.5, 16)
  list.add(late)
  t.equal(list.first, late)
  t.equal(list.size, 1_001)
  t.equal(list.freeBytes, 8 * 1_000 + 16)
})
