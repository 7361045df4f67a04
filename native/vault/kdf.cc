#include "vault/kdf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "vault/error.h"
#include "vault/gcm.h"
#include "vault/locked_memory.h"

namespace qkme::vault {

void HmacSha256(const uint8_t* key, size_t key_length, const uint8_t* data, size_t length, uint8_t* out) {
  unsigned int written = 0;
  // A null key means "the key of before" to OpenSSL; an empty one needs an address.
  static constexpr uint8_t kNothing[1] = {};
  const uint8_t* const real_key = key_length > 0 ? key : kNothing;
  if (HMAC(EVP_sha256(), real_key, static_cast<int>(key_length), data, length, out, &written) == nullptr ||
      written != kMacBytes) {
    throw VaultError("INTERNAL", "OpenSSL refused HMAC-SHA-256");
  }
}

void HkdfSha256(const uint8_t* secret, size_t secret_length, const uint8_t* salt, size_t salt_length,
                std::string_view info, uint8_t* out, size_t out_length) {
  constexpr size_t kInfoMax = 255;
  Require(info.size() <= kInfoMax && out_length <= kMacBytes, "HKDF info is at most 255 bytes, its output at most 32");
  uint8_t extracted[kMacBytes];
  uint8_t expanded[kMacBytes];
  const ScratchGuard wipe_extracted(extracted, sizeof extracted), wipe_expanded(expanded, sizeof expanded);
  uint8_t input[kInfoMax + 1];
  HmacSha256(salt, salt_length, secret, secret_length, extracted);
  if (!info.empty()) std::memcpy(input, info.data(), info.size());
  input[info.size()] = 1;  // T(1) = HMAC(PRK, info || 0x01), the only block that is needed
  HmacSha256(extracted, sizeof extracted, input, info.size() + 1, expanded);
  std::memcpy(out, expanded, out_length);
}

void Scrypt(const uint8_t* passphrase, size_t length, const uint8_t* salt, size_t salt_length, uint32_t log_n,
            uint32_t r, uint32_t p, uint8_t* out) {
  constexpr uint64_t kMemoryMax = uint64_t{4} << 30;
  const bool in_range = log_n >= 10 && log_n <= 22 && r >= 1 && r <= 32 && p >= 1 && p <= 16;
  const uint64_t memory = in_range ? uint64_t{128} * r * ((uint64_t{1} << log_n) + p + 2) + (1 << 20) : 0;
  if (!in_range || memory > kMemoryMax) {
    throw VaultError("CONFIG_INVALID", "scrypt parameters out of range: logN 10 to 22, r 1 to 32, p 1 to 16, at most 4 GiB of memory (128 * r * 2^logN)");
  }
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(passphrase), length, salt, salt_length, uint64_t{1} << log_n, r, p,
                     memory, out, kKeyBytes) != 1) {
    throw VaultError("INTERNAL", "scrypt failed: it needs " + std::to_string(memory >> 20) + " MiB of free memory");
  }
}

}  // namespace qkme::vault
