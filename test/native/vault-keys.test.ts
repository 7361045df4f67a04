import { createDecipheriv, createHmac, hkdfSync, randomBytes, scryptSync } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { KeyHandle } from '../../src/device/native.js'
import { knownKey, secretFile, testVault } from './vault-support.js'

const none = new Uint8Array(0)
/** The bytes of a key, by wrapping it under a key that the test knows and opening that with node:crypto. */
const reveal = (vault: ReturnType<typeof testVault>, folder: string, key: KeyHandle): Buffer => {
  const kekBytes = randomBytes(32), aad = randomBytes(5)
  const kek = knownKey(vault, folder, kekBytes)
  const wrapped = vault.wrapKey(kek, key, aad)
  vault.dropKey(kek)
  const decipher = createDecipheriv('aes-256-gcm', kekBytes, wrapped.subarray(0, 12)).setAAD(aad).setAuthTag(wrapped.subarray(44))
  return Buffer.concat([decipher.update(wrapped.subarray(12, 44)), decipher.final()])
}

t.test('derivation, HMAC and check values are those of RFC 5869 and RFC 2104', async t => {
  const vault = testVault(), folder = t.testdir()
  for (const [saltBytes, info] of [[0, ''], [16, 'qkme seal'], [100, 'ü'.repeat(127)]] as const) {
    const secret = randomBytes(32), salt = randomBytes(saltBytes)
    const key = knownKey(vault, folder, secret)
    t.same(reveal(vault, folder, vault.deriveKey(key, salt, info)), Buffer.from(hkdfSync('sha256', secret, salt, info, 32)))
    t.same(Buffer.from(vault.keyCheck(key)), Buffer.from(hkdfSync('sha256', secret, none, 'qkme check', 16)))
    for (const length of [0, 1, 63, 64, 1000]) {
      const data = randomBytes(length)
      t.same(Buffer.from(vault.hmac(key, data)), createHmac('sha256', secret).update(data).digest())
    }
  }
  t.throws(() => vault.deriveKey(vault.newKey(), none, 'x'.repeat(256)), /invariant violated/)
})

t.test('a passphrase gives the key that scrypt says, from the first line without its end', async t => {
  const vault = testVault(), folder = t.testdir()
  const salt = randomBytes(16)
  const expected = scryptSync('Grüße aus Bern', salt, 32, { N: 2 ** 12, r: 8, p: 2, maxmem: 64 << 20 })
  for (const [name, text] of [['plain', 'Grüße aus Bern'], ['unix', 'Grüße aus Bern\n'], ['dos', 'Grüße aus Bern\r\nmore']] as const) {
    const key = vault.openMasterPassphraseFile(secretFile(folder, name, text), salt, 12, 8, 2)
    t.same(reveal(vault, folder, key), expected, name)
  }
  t.throws(() => vault.openMasterPassphraseFile(secretFile(folder, 'empty', '\nsecond'), salt, 12, 8, 1), { code: 'MASTER_KEY_WRONG' })
  t.throws(() => vault.openMasterPassphraseFile(join(folder, 'absent'), salt, 12, 8, 1), { code: 'MASTER_KEY_MISSING' })
  t.throws(() => vault.openMasterPassphraseFile(join(folder, 'plain'), salt, 30, 8, 1), { code: 'CONFIG_INVALID' })
  t.equal(vault.stats().keysUsed, 3, 'a refused file leaves no key behind')
})

t.test('a master key file is made once, private, and read back', async t => {
  const vault = testVault(), folder = t.testdir(), path = join(folder, 'master.key')
  vault.createMasterKeyFile(path)
  t.equal(statSync(path).mode & 0o7777, 0o600)
  t.equal(statSync(path).size, 32)
  t.same(reveal(vault, folder, vault.openMasterKeyFile(path)), readFileSync(path))
  t.throws(() => vault.createMasterKeyFile(path), { code: 'MASTER_KEY_WRONG' })
  t.throws(() => vault.createMasterKeyFile(join(folder, 'no/such/folder')), { code: 'STORE_UNAVAILABLE' })
})

t.test('a key file that others may touch, or that is not exactly a key, is refused with its reason', async t => {
  const vault = testVault(), folder = t.testdir()
  t.throws(() => vault.openMasterKeyFile(join(folder, 'absent')), { code: 'MASTER_KEY_MISSING', message: /cannot open .*No such file/ })
  for (const mode of [0o640, 0o604, 0o620, 0o700, 0o4600]) {
    const path = secretFile(folder, `mode-${mode}`, randomBytes(32))
    chmodSync(path, mode)
    t.throws(() => vault.openMasterKeyFile(path), { code: 'MASTER_KEY_WRONG', message: /chmod 600/ })
  }
  for (const size of [0, 31, 33]) {
    t.throws(() => vault.openMasterKeyFile(secretFile(folder, `size-${size}`, randomBytes(size))), { code: 'MASTER_KEY_WRONG', message: /bytes/ })
  }
  symlinkSync(secretFile(folder, 'real', randomBytes(32)), join(folder, 'link'))
  t.throws(() => vault.openMasterKeyFile(join(folder, 'link')), { code: 'MASTER_KEY_WRONG', message: /symbolic link/ })
  mkdirSync(join(folder, 'folder'))
  t.throws(() => vault.openMasterKeyFile(join(folder, 'folder')), { code: 'MASTER_KEY_WRONG', message: /not a regular file/ })
  t.equal(vault.stats().keysUsed, 0)
})

t.test('a wrapped key opens under its own key and data only', async t => {
  const vault = testVault(), folder = t.testdir()
  const kek = vault.newKey(), key = vault.newKey(), aad = Buffer.from('slot 7')
  const wrapped = vault.wrapKey(kek, key, aad)
  t.equal(wrapped.length, 60)
  t.same(reveal(vault, folder, vault.unwrapKey(kek, wrapped, aad)), reveal(vault, folder, key))
  const used = vault.stats().keysUsed
  for (let bit = 0; bit < 60 * 8; bit++) {
    const bad = Uint8Array.from(wrapped)
    bad[bit >> 3]! ^= 1 << (bit & 7)
    t.throws(() => vault.unwrapKey(kek, bad, aad), { code: 'MASTER_KEY_WRONG' })
  }
  t.throws(() => vault.unwrapKey(vault.newKey(), wrapped, aad), { code: 'MASTER_KEY_WRONG' })
  t.throws(() => vault.unwrapKey(kek, wrapped, Buffer.from('slot 8')), { code: 'MASTER_KEY_WRONG' })
  t.throws(() => vault.unwrapKey(kek, wrapped.subarray(1), aad), { code: 'MASTER_KEY_WRONG' })
  t.equal(vault.stats().keysUsed, used + 1, 'only the other key was added')
  t.notSame(vault.wrapKey(kek, key, aad), wrapped, 'the IV is random')
})

t.test('keys are bounded, dropped once, and different each time', async t => {
  const vault = testVault()
  const checks = new Set(Array.from({ length: 50 }, () => Buffer.from(vault.keyCheck(vault.newKey())).toString('hex')))
  t.equal(checks.size, 50)
  const key = vault.newKey()
  vault.dropKey(key)
  t.throws(() => vault.dropKey(key), /invariant violated/)
  t.throws(() => vault.keyCheck(key), /invariant violated/)
  t.throws(() => vault.keyCheck(-1 as KeyHandle), /invariant violated/)
  t.throws(() => vault.keyCheck('1' as unknown as KeyHandle), /invariant violated/)
  t.throws(() => { for (;;) vault.newKey() }, { code: 'ARENA_FULL' })
  t.equal(vault.stats().keysUsed, 4096)
})
