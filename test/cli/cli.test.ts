import { cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.js'
import { grouped, table, wrap } from '../../src/cli/output.js'
import { KmeError } from '../../src/kernel/errors.js'
import { exampleFile, setUpExamples, shortFolder } from '../config/examples.js'
import { answer, listen, qkme, run, startAdmin, type Handler } from './world.js'

t.test('version, help, and usage errors', async t => {
  const folder = shortFolder(t)
  const [version, help, none, unknown, json, option] = await Promise.all([
    qkme(folder, ['--version']), qkme(folder, ['doctor', '--help']), qkme(folder, ['sae']), qkme(folder, ['frobnicate']), qkme(folder, ['frobnicate', '--json']), qkme(folder, ['pki', 'issue', '--id', 'x']),
  ])
  t.match(version, { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
  t.match(help, { code: 0, out: /Examples:/ })
  t.match(none, { code: 2, err: /suspend/ })
  t.match(unknown, { code: 2, err: /unknown command 'frobnicate'/ })
  t.match(JSON.parse(json.err), { error: { code: 'USAGE', message: /unknown command/ } })
  t.match(option, { code: 2, err: /--profile/ })
})

t.test('the way of the examples: every command in their comment works', async t => {
  const folder = shortFolder(t)
  for (const site of ['a', 'b']) cpSync(exampleFile(`kme-${site}`), join(folder, `kme-${site}.yaml`))
  const steps = readFileSync(exampleFile('kme-a'), 'utf8').split('\n').filter((line) => line.startsWith('#   qkme ')).map((line) => line.slice(9).split(' '))
  t.equal(steps.length, 6)
  const before = await run(folder, ['config', 'check', '-c', 'kme-a.yaml', '--json'])
  t.equal(before.code, 3)
  t.ok(before.json().faults.length >= 9)
  for (const step of steps) t.match(await run(folder, step), { code: 0 }, step.join(' '))
  t.equal(statSync(join(folder, 'kme-a-master.key')).size, 32)
  t.equal(statSync(join(folder, 'kme-a-master.key')).mode & 0o777, 0o600)
  t.not((await run(folder, steps[4] as string[])).code, 0, 'a master key is never overwritten')
  t.match(await qkme(folder, ['config', 'check'], { QKME_CONFIG: 'kme-a.yaml' }), { code: 0, out: /configuration of kme-a is good/ })
  const print = await run(folder, ['config', 'print', '-c', 'kme-a.yaml'], { QKME_REST_PORT: '1' })
  t.match(print, { code: 0, out: /port: 1 # QKME_REST_PORT/ })
})

t.test('config check tells what is wrong with certificates', async t => {
  const folder = shortFolder(t)
  await setUpExamples(folder)
  cpSync(join(folder, 'pki/kme/kme-b/server.key'), join(folder, 'pki/kme/kme-a/server.key'))
  rmSync(join(folder, 'pki/kme-ca.crl'))
  cpSync(join(folder, 'pki/sae-ca.crl'), join(folder, 'pki/kme-ca.crl'))
  const result = await run(folder, ['config', 'check', '-c', 'kme-a.yaml', '--json'], { QKME_REST_PUBLIC_HOSTS: '["elsewhere.example"]' })
  t.equal(result.code, 4)
  t.match(result.json().findings.map((f: { message: string }) => f.message), [/^rest: the key in .* does not belong/, /^rest: .* does not name "elsewhere\.example"/, /^peering: CRL file .* none of the configured CAs/])
  const text = await run(folder, ['config', 'check', '-c', 'kme-a.yaml'])
  t.match(text, { code: 4, out: /the certificates are not/ })
})

t.test('pki: inspect, revoke, renew-crl, and refusals', async t => {
  const folder = shortFolder(t)
  t.match(await run(folder, ['pki', 'issue', '--profile', 'sae', '--id', 'sae-1']), { code: 4, err: /pki init/ })
  await run(folder, ['pki', 'init'])
  const issued = (await run(folder, ['pki', 'issue', '--profile', 'sae', '--id', 'sae-1', '--json'])).json()
  t.match(await run(folder, ['pki', 'issue', '--profile', 'sae', '--id', 'two words']), { code: 2, err: /RFC 3986/ })
  const info = (await run(folder, ['pki', 'inspect', issued.certificate, '--json'])).json()
  t.match(info, [{ subject: 'CN=sae-1', usages: ['clientAuth'], names: ['url:urn:qkme:sae:sae-1'], serialHex: issued.serialHex }])
  t.match(await run(folder, ['pki', 'revoke', '--certificate', issued.certificate, '--reason', 'keyCompromise']), { code: 0, out: new RegExp(issued.serialHex) })
  t.match(await run(folder, ['pki', 'revoke', '--serial', 'beef']), { code: 22 })
  t.match(await run(folder, ['pki', 'revoke']), { code: 2, err: /--serial/ })
  t.match(await run(folder, ['pki', 'renew-crl', 'sae', '--crl-days', '3']), { code: 0, out: /holds until/ })
})

const status = {
  kme: 'kme-a', version: '0.1.0', startedAt: '', uptimeS: 100_000, incarnation: 3, state: 'running', parts: [{ id: 'peer/kme-b', state: 'ready', restarts: 0 }, { id: 'control/kme-f', state: 'backingOff', restarts: 2 }], pools: 1, links: 1, peers: 1, saes: 2, alertsActive: 1,
}
const pool = { id: 'p', remote: 'kme-b', state: 'ready', local: false, stockBits: 1_234_567, stockMaxBits: 9, supplyBitsPerS: 100.4, consumptionBitsPerS: 3, timeToEmptyS: null, route: 'direct', note: '', lanes: [] }
const link = { id: '1', remote: 'kme-b', state: 'quarantined', qber: 0.12, keyBitsPerS: 0, mismatchesInARow: 3, quarantineCause: 'mismatch' }
const peer = { id: 'kme-b', state: 'ready', url: 'wss://kme-b:9443', attempt: 0, incarnation: 1, outbox: 4, reserveBytes: 16_384, held: '' }
const sae = (id: string): object => ({ id, kme: 'kme-a', state: 'active', registeredAt: null, associations: 1 })
const incident = {
  id: 'abcd'.repeat(8), at: '2026-03-01T12:00:00.000Z', kind: 'void', origin: 'kme-a', what: 'keys of SAE sae-1', reason: 'lost', state: 'waiting',
  pools: [{ pool: 'kme-b', keys: 2, alreadyFetched: 1, associations: 3, stretches: 4, state: 'waiting' }],
}

t.test('commands to a running KME: requests, tables, JSON, refusals', async t => {
  const folder = shortFolder(t), socket = join(folder, 'admin.sock'), seen: string[] = []
  let ready = true, difference = 0, looks = 0, broken = 0
  const handler: Handler = (request, body, response) => {
    seen.push(`${request.method ?? ''} ${request.url ?? ''} ${body}`.trim())
    const url = request.url ?? ''
    if (url === '/v1/status') answer(response, 200, status)
    else if (url === '/v1/health') answer(response, 200, { live: true, ready, reasons: ready ? [] : ['the peer is away'] })
    else if (url === '/v1/pools') answer(response, 200, [pool])
    else if (url === '/v1/links') answer(response, 200, [link])
    else if (url === '/v1/peers') answer(response, 200, [peer])
    else if (url === '/v1/devices') {
      looks += 1
      answer(response, 200, [{ id: 'device/1', link: 'link/1', state: 'running', epoch: '1', kind: 'ring', qber: 0.021, waitingFrames: 0, quarantine: '', counters: { acceptedFrames: 5000 + looks, acceptedBytes: 3968 * looks, badCrc: broken * looks }, lastFault: 'no device was connected' }])
    } else if (url === '/v1/devices/device%2F1/headers') answer(response, 200, [{ sequence: 77, epoch: 3, deviceBlock: 'ab'.repeat(16), offset: 124, payloadBytes: 3968, flags: ['last'], qber: 0.021, at: '2026-01-01T00:00:00.000Z' }])
    else if (url === '/v1/account') answer(response, 200, { pools: [{ pool: 'kme-b', bits: { ingested: 1000, stock: 1000 - difference }, differenceBits: difference }], differenceBits: difference })
    else if (url === '/v1/saes' && request.method === 'GET') answer(response, 200, { saes: [sae('sae-1'), sae('sae-2')], next: 'sae-2' })
    else if (url === '/v1/saes?after=sae-2') answer(response, 200, { saes: [sae('sae-3')], next: null })
    else if (url === '/v1/saes' && body.includes('taken')) answer(response, 409, { error: { code: 'BUSY', message: 'exists already' } })
    else if (url === '/v1/saes') answer(response, 201, sae('sae-4'))
    else if (url === '/v1/voids') answer(response, 200, { incident: body.includes('sae-1') ? incident : null, pools: body.includes('sae-9') ? [] : incident.pools, unknown: body.includes('ids') ? ['aaaaaaaa-0000-4000-8000-000000000000'] : [] })
    else if (url === '/v1/incidents') answer(response, 200, [incident])
    else if (url === '/v1/incidents/abcd') answer(response, 200, incident)
    else if (url.includes('ghost')) answer(response, 404, { code: 'NOT_FOUND', message: 'no SAE ghost' })
    else if (url === '/v1/links/2/release') answer(response, 200, { done: true, still: 'held by kme-b until it is released there' })
    else if (url.includes('forbidden')) answer(response, 403)
    else answer(response, 204)
  }
  await startAdmin(t, socket, handler)
  const ask = (...args: string[]): ReturnType<typeof run> => run(folder, [...args, '--socket', socket])
  const text = await ask('status')
  t.equal(text.code, 0, text.err)
  t.match(text.out, /kme-a {2}qkme 0\.1\.0 {2}running {2}up 28 h\nready\n1 alert is active/)
  t.match(text.out, /kme-b +direct +ready +1,234,567 +100 +3 +-/)
  t.match(text.out, /quarantined \(mismatch\) +12\.00 %/)
  t.match(text.out, /FAR KME +CHANNEL +RESTARTS\nkme-f +backingOff +2$/m, 'the channels of relayed pools')
  t.ok(text.out.split('\n').every((line) => line.length <= 80), 'readable in 80 columns')
  t.match((await ask('status', '--json')).json(), { status: { kme: 'kme-a' }, pools: [{ remote: 'kme-b' }] })
  ready = false
  t.match(await ask('status'), { code: 1, out: /not ready: the peer is away/ })
  t.match(await ask('account'), { code: 0, out: /every bit is accounted for/ })
  difference = 8
  t.match(await ask('account'), { code: 1, out: /8 bits are not accounted for/ })
  t.match((await ask('sae', 'list', '--json')).json().map((one: { id: string }) => one.id), ['sae-1', 'sae-2', 'sae-3'])
  t.match(await ask('device', 'list'), { code: 0, out: /device\/1 +ring +running +- +2\.10 % +5,001 +-/ })
  t.match(await ask('device', 'dump-header', 'device/1'), { code: 0, out: /77 +3 +(ab){16} +124 +3,968 +2\.10 % +last/ })
  const watched = await ask('device', 'watch', '1', '--every', '1', '--looks', '2', '--json')
  const lines = watched.out.trim().split('\n').map((line) => JSON.parse(line) as { devices: { keyBitsPerS: number | null }[], headers: object[] })
  t.same([lines.length, lines[0]?.devices[0]?.keyBitsPerS, (lines[1]?.devices[0]?.keyBitsPerS ?? 0) > 0, lines[1]?.headers.length], [2, null, true, 1], 'a line per look, with a rate from the second on')
  t.match((await ask('device', 'watch', '--looks', '1')).out, /newest frames of device\/1/)
  t.match(await ask('device', 'test', '1', '--for', '1'), { code: 0, out: /device\/1 delivers/ })
  broken = 1
  t.match(await ask('device', 'test', '1', '--for', '1'), { code: 1, out: /FAILED +frames are whole +1 refused/ })
  t.match(await ask('device', 'test', '9'), { code: 22, err: /there are: device\/1/ })
  seen.length = 0
  t.match(await ask('sae', 'add', 'sae-4', '--name', 'Firewall'), { code: 0 })
  t.match(await ask('sae', 'approve', 'sae-1'), { code: 0, out: /approved: sae-1/ })
  t.match(await ask('sae', 'suspend', 'a/b'), { code: 0, out: /suspended: a\/b/ })
  t.match(await ask('sae', 'resume', 'sae-1'), { code: 0 })
  t.match(await ask('sae', 'remove', 'sae-1'), { code: 0 })
  t.match(await ask('link', 'release', 'link/1'), { code: 0, out: /released: link\/1/ })
  t.match(await ask('link', 'release', '2'), { code: 0, out: /^released here: 2; still held by kme-b until it is released there$/m })
  t.match(await ask('link', 'hold', '1', '--reason', 'fibre works'), { code: 0, out: /held: 1/ })
  t.match(await ask('link', 'hold', '1'), { code: 2 })
  t.match(await ask('peer', 'hold', 'kme-b', '--reason', 'audit'), { code: 0, out: /held: kme-b/ })
  t.match(await ask('peer', 'release', 'kme-b'), { code: 0, out: /released: kme-b/ })
  t.match(await ask('pool', 'resume', 'kme-b'), { code: 0, out: /resumed: kme-b/ })
  t.match(await ask('peer', 'retire', 'kme-b', '--confirm', 'kme-b'), { code: 0 })
  t.match(await ask('peer', 'retire', 'kme-b', '--confirm', 'kme-c'), { code: 2 })
  t.same(seen, [
    'POST /v1/saes {"id":"sae-4","name":"Firewall"}', 'POST /v1/saes/sae-1/approve {}', 'POST /v1/saes/a%2Fb/suspend {}', 'POST /v1/saes/sae-1/resume {}', 'DELETE /v1/saes/sae-1',
    'POST /v1/links/link%2F1/release {}', 'POST /v1/links/2/release {}', 'POST /v1/links/1/hold {"reason":"fibre works"}', 'POST /v1/peers/kme-b/hold {"reason":"audit"}', 'POST /v1/peers/kme-b/release {}',
    'POST /v1/pools/kme-b/resume {}', 'POST /v1/peers/kme-b/retire {}',
  ])
  seen.length = 0
  t.match(await ask('void', '--sae', 'sae-1', '--reason', 'lost'), { code: 0, out: /kme-b +2 +1 +3 +4 +waiting\nvoid here: incident abcd.*not confirmed/ })
  t.match(await ask('void', '--sae', 'sae-9', '--reason', 'lost', '--dry-run'), { code: 1, out: /nothing fits/ })
  t.match(await ask('void', '--id', 'aaaaaaaa-0000-4000-8000-000000000000', '--reason', 'lost'), { code: 1, out: /not known here: aaaa/ })
  t.match(await ask('void', '--reason', 'lost'), { code: 2, err: /say which keys/ })
  t.match(await ask('void', '--sae', 'sae-1'), { code: 2 })
  t.match(await ask('incident', 'list'), { code: 0, out: /abcdabcd +2026-03-01T12:00:00 +void +kme-a +waiting +keys of SAE sae-1/ })
  t.match(await ask('incident', 'show', 'abcd'), { code: 0, out: /by an operator of kme-a: keys of SAE sae-1\nreason: lost\nstate: waiting/ })
  t.same(seen, [
    'POST /v1/voids {"sae":"sae-1","reason":"lost","dryRun":false}', 'POST /v1/voids {"sae":"sae-9","reason":"lost","dryRun":true}',
    'POST /v1/voids {"ids":["aaaaaaaa-0000-4000-8000-000000000000"],"reason":"lost","dryRun":false}', 'GET /v1/incidents', 'GET /v1/incidents/abcd',
  ])
  t.match(await ask('sae', 'add', 'taken'), { code: 1, err: /exists already/ })
  t.match(await ask('sae', 'remove', 'ghost'), { code: 22, err: /no SAE ghost/ })
  t.match(await ask('sae', 'remove', 'forbidden'), { code: 21, err: /403/ })
})

t.test('no KME there: each reason has its words', async t => {
  const folder = shortFolder(t)
  t.match(await run(folder, ['status', '--socket', join(folder, 'none.sock')]), { code: 20, err: /there is no socket .*none\.sock/ })
  const rude = createServer((socket) => { socket.end('nonsense\r\n\r\n') })
  await listen(t, rude, { path: join(folder, 'rude.sock') })
  t.match(await run(folder, ['status', '--socket', join(folder, 'rude.sock'), '--json']), { code: 20, err: /"code":"PEER_DOWN"/ })
  writeFileSync(join(folder, 'bad.yaml'), 'kme: 3')
  t.match(await run(folder, ['status', '--config', 'bad.yaml']), { code: 3, err: /bad\.yaml:1/ })
})

t.test('exit codes are unique and every error that ends a process has its own', async t => {
  const codes = Object.values(exitCodes).map((one) => one.code)
  t.equal(new Set(codes).size, codes.length)
  const fatal = ['CONFIG_INVALID', 'ADDON_MISSING', 'MEMORY_NOT_LOCKED', 'PORT_TAKEN', 'STORE_UNAVAILABLE', 'STORE_LOCKED', 'STORE_NEWER', 'STORE_CORRUPT', 'STORE_COPIED', 'STORE_FULL', 'MASTER_KEY_WRONG', 'MASTER_KEY_MISSING', 'CERTIFICATE_INVALID', 'RANDOM_FAILED'] as const
  const fatalCodes = fatal.map((code) => exitCodeOf(new KmeError(code, '')))
  t.equal(new Set(fatalCodes).size, fatal.length)
  t.notOk(fatalCodes.some((code) => code <= 2))
  t.equal(exitCodeOf(new Error('x')), 1)
  t.match((await run(shortFolder(t), ['exit-codes', '--json'])).json()[0], { code: 0, name: 'ok' })
})

t.test('tables keep 80 columns by wrapping the last one', async t => {
  const text = table(['A', 'N', 'B'], [['x', '1,000', 'word '.repeat(40).trim()], ['long', '5', '']], 'lrl')
  t.ok(text.split('\n').every((line) => line.length <= 80 && line === line.trimEnd()))
  t.match(text, /^A {4,} +N {2}B\nx {4} 1,000 {2}word/)
  t.same(wrap('aaa bbb ccc', 7), ['aaa bbb', 'ccc'])
  t.same([grouped(1234567), grouped(1.5)], ['1,234,567', '1.50'])
})
