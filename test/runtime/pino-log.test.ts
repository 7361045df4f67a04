import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { KmeError } from '../../src/kernel/errors.js'
import { RepeatBound } from '../../src/kernel/log-bound.js'
import { openLogDestination } from '../../src/runtime/log-destination.js'
import { createPinoLog, type LogOptions } from '../../src/runtime/pino-log.js'
import { SimClock } from '../../sim/clock.js'

const capture = (options: Partial<LogOptions> = {}) => {
  const clock = new SimClock()
  const texts: string[] = []
  const root = createPinoLog({ clock, level: 'info', kme: 'A', destination: { write: (text: string) => { texts.push(text) } }, ...options })
  return { clock, root, texts, lines: () => texts.map((text) => JSON.parse(text) as Record<string, unknown>) }
}

t.test('a line is one JSON object with component, level, message, wall time and time since the start', async t => {
  const { root, clock, lines, texts } = capture()
  clock.advance(1_500)
  root.log('pool').info('stock measured', { stockBits: 7n, text: 'a\nb' })
  t.equal(texts[0]?.split('\n').length, 2, 'one line, however the fields look')
  t.same(lines()[0], {
    level: 'info', time: new Date(clock.wallMs()).toISOString(), upMs: 1_500, kme: 'A', component: 'pool', message: 'stock measured', stockBits: '7', text: 'a\nb',
  })
})

t.test('levels differ by component and change at run time', async t => {
  const { root, lines } = capture({ levels: { peer: 'error' } })
  const pool = root.log('pool'), peer = pool.child('peer')
  pool.debug('one')
  peer.warn('two')
  t.equal(lines().length, 0)
  root.setLevels({ pool: 'debug', '*': 'silent' })
  pool.debug('three')
  peer.error('four')
  root.log('rest').fatal('five')
  t.same(lines().map((l) => l['message']), ['three', 'four'])
  t.same(root.levels(), { '*': 'silent', peer: 'error', pool: 'debug' })
  t.throws(() => { root.setLevels({ pool: 'loud' as 'info' }) }, /not a log level: pool/)
  t.throws(() => { root.setLevels(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`c${i}`, 'info' as const]))) }, /more than/)
})

t.test('security events carry category, severity, subject and outcome, are counted, and a quiet component does not hide them', async t => {
  const { root, lines } = capture({ levels: { rest: 'silent' } })
  root.log('rest').security({ category: 'authentication', severity: 'medium', event: 'sae.unknown', subject: 'sae-9', outcome: 'refused', fields: { address: '::1' } })
  root.log('pool').security({ category: 'integrity', severity: 'critical', event: 'claims.overlap', subject: 'B', outcome: 'detected' })
  t.match(lines()[0], { level: 'warn', component: 'security', from: 'rest', message: 'sae.unknown', category: 'authentication', severity: 'medium', subject: 'sae-9', outcome: 'refused', address: '::1' })
  t.equal(lines()[1]?.['level'], 'fatal')
  t.equal(root.securityCounts.get('authentication/medium'), 1)
  t.equal(root.securityCounts.get('integrity/critical'), 1)
})

t.test('the fields of an event cannot pose as another component or severity', async t => {
  const { root, lines } = capture()
  root.log('rest').security({ category: 'peer', severity: 'high', event: 'x', subject: 's', outcome: 'refused', fields: { severity: 'info', category: 'operator', from: 'me' } })
  t.match(lines()[0], { severity: 'high', category: 'peer', from: 'rest' })
  root.log('rest').info('posing', { component: 'security', level: 'fatal', time: 'x', kme: 'B' })
  t.match(lines()[1], { component: 'rest', level: 'info', kme: 'A', field_component: 'security', field_level: 'fatal', field_kme: 'B' })
})

t.test('secrets and bytes never reach a line', async t => {
  const { root, texts } = capture()
  const marker = 'c2VjcmV0LWtleS1ieXRlcw'
  const bytes = Buffer.from(marker)
  root.log('pool').info('trap', {
    error: new KmeError('INTERNAL', 'fine', { cause: bytes }),
    key: marker, passphrase: marker, nested: { masterSecret: marker, inner: { bytes, list: [bytes, bytes.buffer] } },
    authorization: marker, raw: bytes, f: () => marker,
  })
  t.equal(texts.length, 1)
  t.notMatch(texts[0], marker)
  t.notMatch(texts[0], String([...bytes].slice(0, 6).join(',')), 'nor as numbers')
  t.match(texts[0], '[22 bytes]')
  const evil = { get boom () { throw new Error('x') } }
  root.log('pool').info('getter that throws', evil as never)
  t.match(texts[1], '"unreadable":true')
})

t.test('an error is written with its code, message and stack; long texts are cut', async t => {
  const { root, lines } = capture()
  root.log('store').error('flush failed', { error: new KmeError('STORE_FULL', 'm'.repeat(5_000)) })
  const error = lines()[0]?.['error'] as Record<string, string>
  t.equal(error['code'], 'STORE_FULL')
  t.ok((error['message'] ?? '').length < 1_100)
  t.match(error['stack'], /at /)
})

t.test('a repeated line is written once, then counted per interval', async t => {
  const { root, clock, lines } = capture({ repeatMs: 1_000 })
  const log = root.log('rest')
  for (let i = 1; i <= 5; i++) log.warn('refused', { i })
  log.warn('something else')
  t.same(lines().map((l) => [l['message'], l['i'], l['repeated']]), [['refused', 1, undefined], ['something else', undefined, undefined]])
  clock.advance(1_000)
  t.match(lines()[2], { message: 'refused', i: 5, repeated: 4 })
  log.warn('refused', { i: 6 })
  t.equal(lines().length, 3, 'it goes on repeating: counted')
  clock.advance(1_000)
  t.match(lines()[3], { i: 6, repeated: 1 })
  clock.advance(1_000)
  log.warn('refused', { i: 7 })
  t.match(lines()[4], { i: 7 }, 'after a quiet interval it passes at once')
  t.equal(lines()[4]?.['repeated'], undefined)
  t.equal(root.lineCounts.get('warn'), 8, 'every line is counted')
})

t.test('flush writes what is held back', async t => {
  const { root, lines } = capture()
  for (let i = 0; i < 3; i++) root.log('rest').warn('refused')
  root.flush()
  t.match(lines()[1], { repeated: 2 })
})

t.test('the bound is bounded: a flood of different lines counts as one kind', async t => {
  const clock = new SimClock()
  const released: [string, number][] = []
  const bound = new RepeatBound<number>(clock, 1_000, (kind, held) => { released.push([kind, held]) })
  let admitted = 0
  for (let i = 0; i < 5_000; i++) if (bound.admit(`kind ${i}`, i)) admitted += 1
  t.equal(admitted, 1_001)
  t.equal(bound.kinds, 1_001)
  clock.advance(1_000)
  t.same(released, [['(other repeated lines)', 3_999]])
})

t.test('a file destination is private, appended to and can be opened again after rotation', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'qkme-log-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  const file = join(dir, 'log')
  const destination = openLogDestination(file)
  const { root } = capture({ destination: destination.stream })
  await new Promise((resolve) => { destination.stream.once('ready', resolve) })
  root.log('a').info('one')
  destination.flush()
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(readFileSync(file, 'utf8'), '"message":"one"')
  renameSync(file, `${file}.1`)
  destination.reopen()
  await new Promise((resolve) => { destination.stream.once('ready', resolve) })
  root.log('a').info('two')
  destination.flush()
  t.ok(existsSync(file))
  t.match(readFileSync(file, 'utf8'), '"message":"two"')
  t.equal(destination.dropped(), 0)
  destination.stream.end()
})
