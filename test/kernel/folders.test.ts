import { spawnSync } from 'node:child_process'
import { statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeFolders } from '../../src/kernel/folders.js'

t.test('makes what is missing, with its mode, and leaves what is there', async (t) => {
  const folder = t.testdir({ file: '' }), deep = join(folder, 'a', 'b')
  makeFolders(deep, 0o700)
  makeFolders(deep, 0o755)
  t.equal(statSync(deep).mode & 0o777, 0o700)
  t.throws(() => { makeFolders(join(folder, 'file'), 0o700) }, { code: 'EEXIST' })
  t.throws(() => { makeFolders(join(folder, 'file', 'x'), 0o700) }, { code: 'ENOTDIR' })
  symlinkSync(join(folder, 'nowhere'), join(folder, 'link'))
  t.throws(() => { makeFolders(join(folder, 'link'), 0o700) }, { code: 'EEXIST' }, 'a link to nothing')
  writeFileSync(join(deep, 'here'), '')
})

t.test('below /proc it fails instead of trying for ever', async (t) => {
  // In a process of its own: what it is about cannot be ended from within.
  const module = new URL('../../src/kernel/folders.js', import.meta.url).href
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e',
    `import { makeFolders } from '${module}'; try { makeFolders('/proc/qkme/x', 0o700) } catch (error) { console.log(error.code) }`], { timeout: 20_000, encoding: 'utf8' })
  t.equal(status, 0)
  t.equal(stdout, 'ENOENT\n')
})
