// AES-256-GCM with a key that is set once and used for many records (SP 800-38D).
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace qkme::vault {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kGcmIvBytes = 12;
inline constexpr size_t kGcmTagBytes = 16;

struct CipherContextFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
/// OpenSSL keeps the key schedule in its own heap memory and cleanses it when the context is freed.
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, CipherContextFree>;

/// Encrypts under one key. The caller never repeats an IV.
class GcmEncryptor {
 public:
  /// @throws VaultError INTERNAL if OpenSSL refuses.
  explicit GcmEncryptor(const uint8_t* key);
  /// `out` receives `length` bytes, `tag` 16. `out` may be `in`.
  bool Seal(const uint8_t* iv, const uint8_t* aad, size_t aad_length, const uint8_t* in, size_t length,
            uint8_t* out, uint8_t* tag);

 private:
  CipherContext context_;
};

/// Decrypts under one key.
class GcmDecryptor {
 public:
  /// @throws VaultError INTERNAL if OpenSSL refuses.
  explicit GcmDecryptor(const uint8_t* key);
  /// False if the tag is wrong: `out` is then wiped.
  bool Open(const uint8_t* iv, const uint8_t* aad, size_t aad_length, const uint8_t* in, size_t length,
            const uint8_t* tag, uint8_t* out);

 private:
  CipherContext context_;
};

}  // namespace qkme::vault
