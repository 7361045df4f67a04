#include "vault/hybrid_stream.h"

#include <openssl/evp.h>

#include <cstring>

#include "vault/error.h"
#include "vault/gcm.h"
#include "vault/kdf.h"
#include "vault/locked_memory.h"

namespace qkme::vault {
namespace {

constexpr size_t kNameBytes = 24;
constexpr size_t kCounterBytes = 16;

}  // namespace

void XorHybridStream(const uint8_t* exchange_key, const RecordHeader& name, uint8_t* bytes, size_t length) {
  Require(length >= 1 && length <= kFrameBytesMax, "a stream is as long as a frame");
  uint8_t salt[kNameBytes];
  std::memcpy(salt, &name.link, sizeof name.link);
  std::memcpy(salt + sizeof name.link, name.device_block, sizeof name.device_block);
  std::memcpy(salt + kNameBytes - sizeof name.offset, &name.offset, sizeof name.offset);
  uint8_t key[kKeyBytes];
  const ScratchGuard guard(key, sizeof key);
  HkdfSha256(exchange_key, kKeyBytes, salt, sizeof salt, "qkme hybrid stream 1", key, sizeof key);
  static constexpr uint8_t kZero[kCounterBytes] = {};
  const CipherContext context(EVP_CIPHER_CTX_new());
  int written = 0;
  // A stream cipher works in place, and holds nothing back for the end.
  if (!context || EVP_EncryptInit_ex(context.get(), EVP_aes_256_ctr(), nullptr, key, kZero) != 1 ||
      EVP_EncryptUpdate(context.get(), bytes, &written, bytes, static_cast<int>(length)) != 1 ||
      static_cast<size_t>(written) != length) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256-CTR");
  }
}

}  // namespace qkme::vault
