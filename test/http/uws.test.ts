/** The loader of uWebSockets.js: the ELF patch, the kept copy, and that the library works. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import { weakenVersionNeed } from '../../src/http/elf.js'
import { loadUws, patchedCopy } from '../../src/http/uws.js'

const library = join(dirname(createRequire(import.meta.url).resolve('uWebSockets.js')), `uws_linux_${process.arch}_${process.versions.modules}.node`)

t.test('the library loads and makes apps, once per process', async (t) => {
  const uws = loadUws()
  t.equal(typeof uws.SSLApp, 'function')
  t.equal(loadUws(), uws)
})

t.test('the patch sets one flag of one entry and nothing else', async (t) => {
  const before = readFileSync(library), after = Buffer.from(before)
  t.equal(weakenVersionNeed(after, 'GLIBC_2.38'), 1)
  const changed: number[] = []
  for (let i = 0; i < before.length; i++) if (before[i] !== after[i]) changed.push(i)
  t.equal(changed.length, 1)
  t.equal((after[changed[0] ?? 0] ?? 0) ^ (before[changed[0] ?? 0] ?? 0), 0x2)
  t.equal(weakenVersionNeed(after, 'GLIBC_2.38'), 0, 'already weak')
  t.equal(weakenVersionNeed(after, 'GLIBC_9.99'), 0, 'not needed')
})

t.test('a file that is no such ELF file, or is cut short, is refused', async (t) => {
  const elf = readFileSync(library)
  t.throws(() => weakenVersionNeed(Buffer.alloc(100), 'GLIBC_2.38'), /an ELF file/)
  t.throws(() => weakenVersionNeed(Buffer.alloc(0), 'GLIBC_2.38'), /an ELF file/)
  t.throws(() => weakenVersionNeed(Buffer.from(elf.subarray(0, elf.length / 2)), 'GLIBC_2.38'), /inside the file/)
  const class32 = Buffer.from(elf)
  class32[4] = 1
  t.throws(() => weakenVersionNeed(class32, 'GLIBC_2.38'), /64-bit/)
})

t.test('the copy is made once, named by its hash, and made again if it was changed', async (t) => {
  const folder = join(t.testdir(), 'new/folder')
  const first = patchedCopy(library, folder)
  t.equal(first.temporary, false)
  t.match(readdirSync(folder), [/^uws-[0-9a-f]{32}\.node$/])
  const good = readFileSync(first.path)
  writeFileSync(first.path, 'damaged')
  t.equal(patchedCopy(library, folder).path, first.path)
  t.ok(readFileSync(first.path).equals(good))
  t.equal(readdirSync(folder).length, 1, 'no partial file is left')
})

t.test('where the folder cannot be made, a private temporary one is used', async (t) => {
  const file = join(t.testdir({ file: '' }), 'file')
  const copy = patchedCopy(library, join(file, 'below'))
  t.equal(copy.temporary, true)
  t.ok(existsSync(copy.path))
  const { rmSync, statSync } = await import('node:fs')
  t.equal(statSync(dirname(copy.path)).mode & 0o777, 0o700)
  rmSync(dirname(copy.path), { recursive: true })
})

t.test('a file that does not need the version is not copied', async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'x'))
  const weak = readFileSync(library)
  weakenVersionNeed(weak, 'GLIBC_2.38')
  writeFileSync(join(folder, 'weak.node'), weak)
  t.throws(() => patchedCopy(join(folder, 'weak.node'), join(folder, 'x')), /does not need/)
  t.same(readdirSync(join(folder, 'x')), [])
})
