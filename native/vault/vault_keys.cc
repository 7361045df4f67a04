// Keys: files, derivation, wrapping.
#include <cstring>

#include "vault/error.h"
#include "vault/kdf.h"
#include "vault/key_file.h"
#include "vault/vault.h"

namespace qkme::vault {

void Vault::CreateMasterKeyFile(const std::string& path) {
  const ScratchGuard bytes(scratch().frame, kKeyBytes);
  random_.Fill(bytes.data(), kKeyBytes);
  CreateSecretFile(path, bytes.data(), kKeyBytes);
}

uint32_t Vault::OpenMasterKeyFile(const std::string& path) {
  return keys_.Make(kKeyBytes, [&path](Key& key) {
    const size_t length = ReadSecretFile(path, key.bytes(), kKeyBytes);
    if (length != kKeyBytes) {
      throw VaultError("MASTER_KEY_WRONG", path + " has " + std::to_string(length) + " bytes; a master key is exactly 32 raw bytes");
    }
  });
}

uint32_t Vault::OpenMasterPassphraseFile(const std::string& path, ByteSpan salt, uint32_t log_n, uint32_t r,
                                         uint32_t p) {
  const ScratchGuard scratch_text(scratch().frame, sizeof scratch().frame);
  const uint8_t* const text = scratch_text.data();
  const size_t read = ReadSecretFile(path, scratch_text.data(), sizeof scratch().frame);
  const void* const end = std::memchr(text, '\n', read);
  size_t length = end == nullptr ? read : static_cast<size_t>(static_cast<const uint8_t*>(end) - text);
  if (length > 0 && text[length - 1] == '\r') --length;
  if (length == 0) throw VaultError("MASTER_KEY_WRONG", path + ": the first line, which is the passphrase, is empty");
  return keys_.Make(kKeyBytes, [&](Key& key) { Scrypt(text, length, salt.data(), salt.size(), log_n, r, p, key.bytes()); });
}

uint32_t Vault::NewKey() {
  return keys_.Make(kKeyBytes, [this](Key& key) { random_.Fill(key.bytes(), kKeyBytes); });
}

// The caller's bytes are wiped whatever happens: they are not to exist twice.
uint32_t Vault::TakeKey(OutSpan bytes) {
  const ScratchGuard guard(bytes.data(), bytes.size());
  Require(bytes.size() == kKeyBytes, "a key that is taken in has 32 bytes");
  return keys_.Make(kKeyBytes, [bytes](Key& key) { std::memcpy(key.bytes(), bytes.data(), kKeyBytes); });
}

uint32_t Vault::DeriveKey(uint32_t key, ByteSpan salt, std::string_view info) {
  const Key& from = keys_.Get(key);
  return keys_.Make(kKeyBytes, [&](Key& derived) {
    HkdfSha256(from.bytes(), kKeyBytes, salt.data(), salt.size(), info, derived.bytes(), kKeyBytes);
  });
}

void Vault::WrapKey(uint32_t kek, uint32_t key, ByteSpan aad, uint8_t* out) {
  const Key& inner = keys_.Get(key);
  random_.Fill(out, kGcmIvBytes);
  GcmEncryptor gcm(keys_.Get(kek).bytes());
  uint8_t* const body = out + kGcmIvBytes;
  if (!gcm.Seal(out, aad.data(), aad.size(), inner.bytes(), kKeyBytes, body, body + kKeyBytes)) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256-GCM");
  }
}

uint32_t Vault::UnwrapKey(uint32_t kek, ByteSpan wrapped, ByteSpan aad) {
  Key& outer = keys_.Get(kek);
  if (wrapped.size() != kWrappedBytes) {
    throw VaultError("MASTER_KEY_WRONG", "a wrapped key has " + std::to_string(wrapped.size()) + " bytes; 60 are expected");
  }
  const uint8_t* const body = wrapped.data() + kGcmIvBytes;
  return keys_.Make(kKeyBytes, [&](Key& key) {
    if (!outer.opener().Open(wrapped.data(), aad.data(), aad.size(), body, kKeyBytes, body + kKeyBytes, key.bytes())) {
      throw VaultError("MASTER_KEY_WRONG", "a wrapped key does not open: the master key is not the one it was wrapped with, or the file is damaged");
    }
  });
}

void Vault::KeyCheck(uint32_t key, uint8_t* out) {
  HkdfSha256(keys_.Get(key).bytes(), kKeyBytes, nullptr, 0, "qkme check", out, kCheckBytes);
}

void Vault::Hmac(uint32_t key, ByteSpan data, uint8_t* out) {
  HmacSha256(keys_.Get(key).bytes(), kKeyBytes, data.data(), data.size(), out);
}

}  // namespace qkme::vault
