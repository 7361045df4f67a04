// A frame: up to 3968 bytes of secret bits behind a 64-byte header, little endian. One ring slot holds one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "crc32c.h"

namespace qkme {

inline constexpr uint32_t kFrameMagic = 0x46444B51;  // "QKDF"
inline constexpr uint8_t kFrameVersion = 1;
inline constexpr uint32_t kFramePayloadMax = 3968;
inline constexpr uint32_t kMacBytes = 16;

enum FrameFlag : uint16_t {
  kFrameLast = 1,      ///< last frame of its key block
  kFrameMac = 2,       ///< a 16-byte AES-GMAC follows the payload
  kFrameTest = 4,      ///< test data: never stored
  kFrameAborted = 8,   ///< the key block was aborted or is compromised: not stored, and what is stored of it is void
  kFrameGap = 16,      ///< the device dropped something before this frame
  kFrameFlagsKnown = 31,
};

struct FrameHeader {
  uint32_t magic;
  uint8_t version, header_bytes;
  uint16_t flags;
  uint32_t link;
  uint32_t qber_ppm;       ///< units of 1e-6; 0xFFFFFFFF unknown
  uint64_t sequence;       ///< +1 per frame within an epoch, first 1
  uint8_t block_id[16];    ///< device key block; identical at both ends
  uint64_t time_ns;        ///< since 1970 UTC, end of the key block; for display only
  uint32_t payload_bytes;  ///< 1 to min(3968, stride - 128 - MAC)
  uint32_t offset;         ///< of the payload in the key block, in units of 32 bytes
  uint32_t epoch;          ///< low half of the ring's epoch
  uint32_t crc;            ///< CRC32C of bytes 0..59, then the payload
};
static_assert(sizeof(FrameHeader) == 64);
static_assert(offsetof(FrameHeader, magic) == 0 && offsetof(FrameHeader, version) == 4 && offsetof(FrameHeader, header_bytes) == 5);
static_assert(offsetof(FrameHeader, flags) == 6 && offsetof(FrameHeader, link) == 8 && offsetof(FrameHeader, qber_ppm) == 12);
static_assert(offsetof(FrameHeader, sequence) == 16 && offsetof(FrameHeader, block_id) == 24 && offsetof(FrameHeader, time_ns) == 40);
static_assert(offsetof(FrameHeader, payload_bytes) == 48 && offsetof(FrameHeader, offset) == 52);
static_assert(offsetof(FrameHeader, epoch) == 56 && offsetof(FrameHeader, crc) == 60);

inline constexpr size_t kCrcCovers = offsetof(FrameHeader, crc);

/// The sum that belongs into `header.crc`.
inline uint32_t FrameCrc(const FrameHeader& header, const uint8_t* payload) {
  return ~Crc32cUpdate(Crc32cUpdate(~0u, &header, kCrcCovers), payload, header.payload_bytes);
}

/// Why a frame is not one of ours. Order: form first, then the checksum, then who it says it is.
enum class FrameFault : uint32_t { kNone, kMagic, kVersion, kHeaderBytes, kFlags, kLength, kCrc, kMac, kLink, kEpoch };

/// Form only, on the private copy of the header: what must be known before the payload is copied.
inline FrameFault CheckForm(const FrameHeader& h, uint32_t slot_capacity) {
  if (h.magic != kFrameMagic) return FrameFault::kMagic;
  if (h.version != kFrameVersion) return FrameFault::kVersion;
  if (h.header_bytes != sizeof(FrameHeader)) return FrameFault::kHeaderBytes;
  if (h.flags & ~kFrameFlagsKnown) return FrameFault::kFlags;
  const uint32_t trailer = h.flags & kFrameMac ? kMacBytes : 0;
  if (h.payload_bytes < 1 || h.payload_bytes > kFramePayloadMax) return FrameFault::kLength;
  if (h.payload_bytes + trailer > slot_capacity) return FrameFault::kLength;
  return FrameFault::kNone;
}

/// True if `a` comes after `b` in serial arithmetic (RFC 1982) of 32 bits.
inline bool SerialAfter(uint32_t a, uint32_t b) { return int32_t(a - b) > 0; }

}  // namespace qkme
