// Keyed 64-bit hashes of frames: of the name, and of the payload ("was this bit string seen before?").
//
// The payload's is NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, 1999; RFC 4418) with 64-bit words
// into 128 bits, finished with SipHash-2-4 and the length: almost universal, collisions 2^-64, and nothing about the
// payload or the key can be read off it. About five times faster than SipHash over the whole payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "frame.h"
#include "siphash.h"

namespace qkme {

class Fingerprinter {
 public:
  static constexpr size_t kKeyBytes = 32;

  /// `key`: 32 secret bytes, the same over restarts (fingerprints are stored with the records). Wiped in the destructor.
  explicit Fingerprinter(const uint8_t* key);
  ~Fingerprinter();
  Fingerprinter(const Fingerprinter&) = delete;
  Fingerprinter& operator=(const Fingerprinter&) = delete;

  /// `length` is at most kFramePayloadMax.
  uint64_t Payload(const uint8_t* payload, size_t length) const;
  /// Of (link, device block id, offset).
  uint64_t Name(uint32_t link, const uint8_t* block_id, uint32_t offset) const;

 private:
  static constexpr size_t kWords = kFramePayloadMax / 8;
  static_assert(kFramePayloadMax % 16 == 0);
  std::array<uint64_t, kWords> nh_key_;
  SipHash finish_, name_;
};

}  // namespace qkme
