// Where key bytes, IVs and salts come from.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vault/gcm.h"

namespace qkme::vault {

/// The system's random source (OpenSSL's private generator), or, for simulations only, a generator that
/// gives the same bytes for the same seed.
class RandomSource {
 public:
  RandomSource() = default;
  /// Deterministic: AES-256-CTR under SHA-256(seed). @throws VaultError INTERNAL.
  RandomSource(const uint8_t* seed, size_t length);

  /// @throws VaultError RANDOM_FAILED.
  void Fill(uint8_t* out, size_t length);
  bool deterministic() const { return stream_ != nullptr; }

 private:
  CipherContext stream_;
};

}  // namespace qkme::vault
