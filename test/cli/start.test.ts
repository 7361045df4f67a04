/** `npm start` as a newcomer runs it: real processes, real TLS, real curl. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { exitCodes } from '../../src/cli/exit-codes.js'
import { projectFolder, shortFolder } from '../config/examples.js'

const script = join(projectFolder, 'dist/src/cli/start.js')

interface Started { readonly process: ChildProcess, text (): string, readonly code: Promise<number | null>, says (part: string): Promise<void> }

const start = (t: Test, folder: string, args: readonly string[], variables: Record<string, string> = {}): Started => {
  const child = spawn(process.execPath, [script, '--folder', folder, ...args], { cwd: projectFolder, env: { PATH: process.env['PATH'] ?? '', ...variables }, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const watchers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => { text += part.toString(); for (const look of watchers) look() })
  const code = new Promise<number | null>((resolve) => { child.on('close', resolve) })
  t.teardown(() => { child.kill('SIGTERM'); return code })
  const says = (part: string): Promise<void> => new Promise((resolve, reject) => {
    const look = (): void => { if (text.includes(part)) { watchers.delete(look); resolve() } }
    watchers.add(look)
    look()
    void code.then((ended) => { reject(new Error(`ended with ${ended} before it said "${part}":\n${text}`)) })
  })
  return { process: child, text: () => text, code, says }
}

const shell = (commands: string): Promise<string> => new Promise((resolve, reject) => {
  execFile('bash', ['-c', commands], { cwd: projectFolder }, (error, out) => { if (error === null) resolve(out); else reject(error) })
})

const fingerprints = (text: string): string[] => [...text.matchAll(/SHA-256 of the key begins ([0-9a-f ]+)/g)].map((match) => match[1]!.trim())
const running = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.pid'))

t.test('two KMEs start, exchange a key, serve the printed curl commands, stop at a signal, and go on at the next start', async t => {
  const folder = shortFolder(t)
  const first = start(t, folder, ['--free-ports'])
  await first.says('Ctrl-C stops everything')
  const [a, b] = fingerprints(first.text())
  t.match(a, /^[0-9a-f]{4}( [0-9a-f]{4}){3}$/)
  t.equal(a, b, 'both SAEs have the same key')
  const again = start(t, folder, [])
  t.equal(await again.code, exitCodes.storeLocked.code, 'a second one on the same folder is refused')
  t.match(again.text(), /runs already \(process \d+\)/)

  const commands = first.text().split('\n').filter((line) => line.startsWith('    ') && /^\s+(curl|ANSWER=|ID=|node )/.test(line)).join('\n')
  const answers = await shell(commands)
  const keys = answers.split('\n').filter((line) => line.startsWith('{"keys"')).map((line) => (JSON.parse(line) as { keys: { key: string, key_ID: string }[] }).keys[0])
  t.equal(keys.length, 2)
  t.same(keys[0], keys[1], 'curl gets the same key at both KMEs')
  t.match(answers, /"stored_key_count"/)
  t.match(answers, /kme-a/, 'qkme status answers')
  t.match(answers, /^qkme_/m, 'an operator reads the metrics')

  const stored = JSON.parse(readFileSync(join(folder, 'start.json'), 'utf8')) as { ports: unknown }
  first.process.kill('SIGINT')
  first.process.kill('SIGINT') // npm hands the terminal's Ctrl-C on: still one.
  t.equal(await first.code, 0)
  for (const name of ['device', 'kme-a', 'kme-b']) t.match(first.text(), `✓ ${name} stopped`)
  t.same(running(folder), [])
  t.notMatch(readFileSync(join(folder, 'kme-a.log'), 'utf8') + first.text(), keys[0]!.key, 'no key in log or output')

  const second = start(t, folder, ['--once'])
  t.equal(await second.code, 0, second.text())
  t.match(second.text(), 'going on with what is in it')
  const [c, d] = fingerprints(second.text())
  t.equal(c, d)
  t.not(c, a, 'another key')
  t.same((JSON.parse(readFileSync(join(folder, 'start.json'), 'utf8')) as { ports: unknown }).ports, stored.ports, 'on the same ports')
  t.same(running(folder), [])

  writeFileSync(join(folder, 'kme-b-master.key'), Buffer.alloc(32, 7))
  const wrong = start(t, folder, [])
  t.equal(await wrong.code, exitCodes.masterKeyWrong.code, 'a KME that ends ends everything, with its code')
  t.match(wrong.text(), /✗ kme-b ended with code 16 \(master-key-wrong/)
  t.match(wrong.text(), `npm start -- --folder ${folder} --reset`)
  t.match(wrong.text(), /✓ kme-a stopped|✗ kme-a was ended by SIGTERM/) // The second, if it had not come to listen for signals yet.
})

t.test('a taken port is told with its use and the way out, and nothing is started', async t => {
  const folder = shortFolder(t), server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  const run = start(t, folder, ['--free-ports', '--rest-ports', `${port},${port === 1024 ? 1025 : port - 1}`])
  t.equal(await run.code, exitCodes.port.code)
  t.match(run.text(), `port ${port} (kme-a for SAEs, --rest-ports) is taken`)
  t.match(run.text(), `npm start -- --folder ${folder} --free-ports`)
  t.notOk(existsSync(join(folder, 'kme-a.log')))
})

t.test('a folder that cannot be used is told before anything is written', async t => {
  const folder = shortFolder(t)
  writeFileSync(join(folder, 'file'), '')
  const inFile = start(t, join(folder, 'file', 'below'), [])
  t.equal(await inFile.code, exitCodes.config.code)
  t.match(inFile.text(), /cannot be written \(ENOTDIR\)[^]*--folder/)

  const foreign = join(folder, 'foreign')
  mkdirSync(foreign)
  writeFileSync(join(foreign, 'diary.txt'), 'mine')
  for (const args of [[], ['--reset']]) {
    const run = start(t, foreign, args)
    t.equal(await run.code, exitCodes.config.code)
    t.match(run.text(), args.length === 0 ? 'holds files that npm start did not make' : 'was not made by npm start')
    t.same(readdirSync(foreign), ['diary.txt'])
  }

  const deep = start(t, join(folder, 'x'.repeat(100)), [])
  t.equal(await deep.code, exitCodes.config.code)
  t.match(deep.text(), 'too long for the sockets')

  const locked = join(folder, 'locked')
  mkdirSync(locked, { mode: 0o500 })
  if (process.getuid?.() !== 0) {
    t.equal(await start(t, locked, []).code, exitCodes.config.code)
  }
  chmodSync(locked, 0o700)
})

t.test('wrong options are usage errors, and help needs nothing', async t => {
  const folder = shortFolder(t)
  for (const args of [['--rate', 'fast'], ['--rest-ports', '1'], ['--nonsense'], ['extra']]) t.equal(await start(t, folder, args).code, exitCodes.usage.code, args.join(' '))
  const help = start(t, folder, ['--help'])
  t.equal(await help.code, 0)
  for (const option of ['--folder', '--rate', '--rest-ports', '--free-ports', '--reset', '--once']) t.match(help.text(), option)
  t.same(readdirSync(folder), [])
})
