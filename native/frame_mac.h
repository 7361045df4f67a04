// The optional MAC trailer of a frame: AES-256-GMAC (NIST SP 800-38D) over header and payload under a key
// per link. Nonce: epoch (4 bytes) || sequence (8 bytes), so an epoch must never be used twice under one key.
#pragma once

#include <cstdint>

#include "frame.h"

struct evp_cipher_ctx_st;

namespace qkme {

class FrameMac {
 public:
  static constexpr size_t kKeyBytes = 32;

  /// The key is not kept (OpenSSL keeps its schedule). @throws std::runtime_error if OpenSSL refuses.
  explicit FrameMac(const uint8_t* key);
  ~FrameMac();
  FrameMac(const FrameMac&) = delete;
  FrameMac& operator=(const FrameMac&) = delete;

  /// Writes 16 bytes. False if OpenSSL fails.
  bool Compute(const FrameHeader& header, const uint8_t* payload, uint8_t* mac);
  /// Constant time.
  bool Verify(const FrameHeader& header, const uint8_t* payload, const uint8_t* mac);

 private:
  evp_cipher_ctx_st* context_;
};

}  // namespace qkme
