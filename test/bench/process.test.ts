import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectFolder } from '../config/examples.js'
import { until } from '../native/ring-support.js'

t.test('what a bench has started ends with it, even if it is killed', async (t) => {
  const log = join(t.testdir(), 'log')
  const bench = spawn(process.execPath, ['--input-type=module', '-e', `
    import { Part } from ${JSON.stringify(join(projectFolder, 'dist/bench/process.js'))}
    console.log(Part.start(0, ['-e', 'setInterval(() => {}, 1000); console.log("lives")'], ${JSON.stringify(log)}).pid)
    setInterval(() => {}, 1000)
  `], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { bench.kill('SIGKILL') })
  const pid = Number(await new Promise<string>((resolve) => { bench.stdout.once('data', (text: Buffer) => { resolve(text.toString()) }) }))
  await until(() => readFileSync(log, 'utf8').includes('lives'), 'it lives')
  t.ok(existsSync(`/proc/${pid}`))
  bench.kill('SIGKILL')
  await until(() => !existsSync(`/proc/${pid}`), 'it is gone')
})
