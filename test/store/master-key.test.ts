import { readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bench } from './setup.js'

t.test('a passphrase opens what it made, another does not', async (t) => {
  const b = bench(t as Test)
  const passphraseFile = join(b.folder, '..', 'passphrase')
  writeFileSync(passphraseFile, 'correct horse battery staple\n', { mode: 0o600 })
  await (await b.open({ master: { passphraseFile } })).close()
  await (await b.open({ master: { passphraseFile } })).close()
  writeFileSync(passphraseFile, 'correct horse battery stable\n')
  await t.rejects(b.open({ master: { passphraseFile } }), { code: 'MASTER_KEY_WRONG' })
  const path = join(b.folder, 'passphrase.json'), kept = readFileSync(path, 'utf8')
  for (const bad of ['', '{}', kept.replace('"logN":17', '"logN":40'), kept.replace('"scrypt"', '"argon"'), kept.replace(/"salt":"[^"]*"/, '"salt":"AAAA"')]) {
    writeFileSync(path, bad)
    await t.rejects(b.open({ master: { passphraseFile } }), { code: 'STORE_CORRUPT', message: /scrypt parameters/ })
  }
  unlinkSync(path)
  await t.rejects(b.open({ master: { passphraseFile } }), { code: 'STORE_CORRUPT' })
})
