import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { projectFolder } from '../config/examples.js'

/** A process with a thread that hangs in the kernel: it opens a pipe that nobody writes. Node's own exit would wait for it. */
const hanging = async (t: Test, code: number, isStuck: boolean): Promise<{ code: number | null, text: string }> => {
  const pipe = join(t.testdir(), 'pipe'), from = (name: string): string => JSON.stringify(join(projectFolder, 'dist/src', name))
  execFileSync('mkfifo', [pipe])
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    import { Worker } from 'node:worker_threads'
    import { endInTime, exitNow } from ${from('runtime/ending.js')}
    import { systemClock } from ${from('kernel/system-clock.js')}
    process.exitCode = ${code}
    const worker = new Worker('require("node:worker_threads").parentPort.postMessage(0); ${isStuck ? `require("node:fs").openSync(${JSON.stringify(pipe).replaceAll('"', '\\"')}, "r")` : ''}', { eval: true, execArgv: [] })
    worker.on('message', () => {
      endInTime({ clock: systemClock, patienceMs: 300, code: () => process.exitCode, tell: (text) => { console.log(text) }, exit: exitNow })
    })
  `], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  let text = ''
  child.stdout.on('data', (part: Buffer) => { text += part.toString() })
  return new Promise((resolve) => { child.on('close', (code) => { resolve({ code, text }) }) })
}

t.test('a process one of whose threads hangs in the kernel ends aloud, with its code', async (t) => {
  const { code, text } = await hanging(t, 12, true)
  t.equal(code, 12)
  t.match(text, 'a thread has not ended 0.3 s after everything else')
})

t.test('with 0 to come it is a failure; one whose threads end is not waited for', async (t) => {
  t.equal((await hanging(t, 0, true)).code, 1)
  t.same(await hanging(t, 0, false), { code: 0, text: '' })
})
