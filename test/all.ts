/**
 * Runs every test file in a process of its own: `tap dist/test/all.js`, `node dist/test/all.js --long` for those that take minutes, or
 * `node dist/test/all.js FILE…` for some of them.
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
/** These start whole KMEs and wait for them. Two at once starve each other's deadlines on a small machine, so others run between them. */
const HEAVY = ['cli', 'e2e', 'crash']
const BETWEEN = 7

const here = dirname(fileURLToPath(import.meta.url))

/** Every test file of `folder`, the heavy ones spread; test/long is only run when it is named. */
const filesOf = (folder: string): string[] => {
  const files = readdirSync(join(here, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.js')).sort().map((name) => join(folder, name))
  const among = (names: readonly string[]) => (file: string): boolean => names.includes(file.split('/')[0]!)
  const heavy = files.filter(among(HEAVY)), rest = files.filter((file) => !among([...HEAVY, ...folder === 'long' ? [] : ['long']])(file))
  const spread = heavy.flatMap((file) => [file, ...rest.splice(0, BETWEEN)])
  return [...spread, ...rest].map((name) => relative(process.cwd(), join(here, name)))
}

t.setTimeout(0)
t.jobs = availableParallelism()
const asked = process.argv.slice(2)
const files = asked[0] === '--long' ? filesOf('long') : asked.length > 0 ? asked : filesOf('.')
for (const file of files) {
  void t.spawn('env', ['-u', 'NODE_OPTIONS', 'timeout', '-k', '5', `${FILE_LIMIT_MS / 1_000 - 60}`, process.execPath, '--enable-source-maps', file], { name: file, buffered: true, timeout: FILE_LIMIT_MS })
}
