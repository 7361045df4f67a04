/**
 * Runs every test file in a process of its own: `tap dist/test/all.js`, or `node dist/test/all.js FILE…` for some of them.
 *
 * `tap FILE…` can do this by itself, but then it records every module of every process that a test starts, and this costs each of
 * them, whole KMEs included, one to two seconds of processor time. Nobody reads that record: here `env` takes the recorder away.
 */
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const FILE_LIMIT_MS = 240_000
/** These wait for processes, so they begin first: a long one at the end would run alone. */
const SLOW = ['cli', 'e2e', 'crash']

const here = dirname(fileURLToPath(import.meta.url))

const allFiles = (): string[] => {
  const files = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.js')).sort()
  const slow = (name: string): boolean => SLOW.includes(name.split('/')[0]!)
  return [...files.filter(slow), ...files.filter((name) => !slow(name))].map((name) => relative(process.cwd(), join(here, name)))
}

t.setTimeout(0)
// Tests with processes wait most of their time: one more than cores keeps the cores busy.
t.jobs = availableParallelism() + 1
const files = process.argv.length > 2 ? process.argv.slice(2) : allFiles()
for (const file of files) {
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', file], { name: file, buffered: true, timeout: FILE_LIMIT_MS })
}
