// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): 64 keyed bits.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qkme {

class SipHash {
 public:
  SipHash() = default;
  /// `key` is 16 bytes.
  explicit SipHash(const uint8_t* key) {
    std::memcpy(&k0_, key, 8);
    std::memcpy(&k1_, key + 8, 8);
  }

  uint64_t operator()(const void* data, size_t length) const {
    uint64_t v0 = k0_ ^ 0x736f6d6570736575, v1 = k1_ ^ 0x646f72616e646f6d;
    uint64_t v2 = k0_ ^ 0x6c7967656e657261, v3 = k1_ ^ 0x7465646279746573;
    const auto round = [&] {
      v0 += v1; v1 = std::rotl(v1, 13) ^ v0; v0 = std::rotl(v0, 32);
      v2 += v3; v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3; v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1; v1 = std::rotl(v1, 17) ^ v2; v2 = std::rotl(v2, 32);
    };
    const uint8_t* p = static_cast<const uint8_t*>(data);
    const auto absorb = [&](uint64_t word) { v3 ^= word; round(); round(); v0 ^= word; };
    size_t left = length;
    for (; left >= 8; p += 8, left -= 8) {
      uint64_t word;
      std::memcpy(&word, p, 8);
      absorb(word);
    }
    uint64_t last = uint64_t(length) << 56;
    for (size_t i = 0; i < left; ++i) last |= uint64_t(p[i]) << (8 * i);
    absorb(last);
    v2 ^= 0xff;
    round(); round(); round(); round();
    return v0 ^ v1 ^ v2 ^ v3;
  }

 private:
  uint64_t k0_ = 0, k1_ = 0;
};

}  // namespace qkme
