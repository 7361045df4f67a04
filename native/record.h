// The sealed record: how one frame of key rests on disk. One LMDB page each.
//
//   0        64        76                  76 + n      92 + n
//   | header | IV 12   | ciphertext n      | tag 16    |          n = payload bytes, 1 to 3968
//
// AES-256-GCM; the header is authenticated as associated data; IV = start u32 || counter u64, little
// endian. All integers are little endian, so the struct is the wire form on the machines we build for.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace qkme {

static_assert(std::endian::native == std::endian::little, "records and rings are little endian");

inline constexpr uint8_t kRecordVersion = 1;
inline constexpr size_t kRecordHeaderBytes = 64;
inline constexpr size_t kRecordIvBytes = 12;
inline constexpr size_t kRecordTagBytes = 16;
/// Distance between records in a drain's output buffer.
inline constexpr size_t kRecordStride = 4096;
/// Payload bytes of one frame: 124 keys of 32 bytes.
inline constexpr size_t kFrameBytesMax = 3968;
/// QBER of a frame whose device did not tell it.
inline constexpr uint32_t kQberUnknown = 0xFFFFFFFFu;

/// Where the bits of a record come from.
enum class RecordKind : uint8_t {
  kDevice = 1,   ///< a frame of a QKD device
  kRandom = 2,   ///< the system's random source (local pools)
  kRelayed = 3,  ///< carried by the relay
  kGranted = 4,  ///< a key that another KME cut, for slaves here; device_block is its key_ID
};

/// Authenticated, not encrypted: nothing here may depend on key bits except the keyed fingerprint.
struct RecordHeader {
  uint8_t version;          ///< kRecordVersion
  uint8_t kind;             ///< RecordKind
  uint16_t flags;           ///< the frame's flags (device.h of the ring); 0 for other kinds
  uint32_t link;            ///< link id; with device_block and offset the frame's name
  uint8_t device_block[16]; ///< the device's block id, equal at both ends
  uint32_t offset;          ///< of this payload in the device block, in units of 32 bytes
  uint32_t payload_bytes;   ///< 1 to kFrameBytesMax
  uint32_t key_slot;        ///< which slot of the key file holds the wrapped seal key
  uint32_t start;           ///< number of the process start that sealed it (first part of the IV)
  uint64_t sequence;        ///< the device's frame number within its epoch
  uint64_t fingerprint;     ///< keyed 64-bit hash of the payload, to find replays under new names
  uint32_t qber_ppm;        ///< QBER in units of 1e-6, or kQberUnknown
  uint32_t device_epoch;    ///< low 32 bits of the ring's generation
};

static_assert(sizeof(RecordHeader) == kRecordHeaderBytes);
static_assert(offsetof(RecordHeader, version) == 0);
static_assert(offsetof(RecordHeader, kind) == 1);
static_assert(offsetof(RecordHeader, flags) == 2);
static_assert(offsetof(RecordHeader, link) == 4);
static_assert(offsetof(RecordHeader, device_block) == 8);
static_assert(offsetof(RecordHeader, offset) == 24);
static_assert(offsetof(RecordHeader, payload_bytes) == 28);
static_assert(offsetof(RecordHeader, key_slot) == 32);
static_assert(offsetof(RecordHeader, start) == 36);
static_assert(offsetof(RecordHeader, sequence) == 40);
static_assert(offsetof(RecordHeader, fingerprint) == 48);
static_assert(offsetof(RecordHeader, qber_ppm) == 56);
static_assert(offsetof(RecordHeader, device_epoch) == 60);

/// Length of the sealed record of a payload of `payload_bytes`.
constexpr size_t SealedBytes(size_t payload_bytes) {
  return kRecordHeaderBytes + kRecordIvBytes + payload_bytes + kRecordTagBytes;
}

// A value of at most 4072 bytes takes one LMDB overflow page; one byte more takes two.
static_assert(SealedBytes(kFrameBytesMax) <= 4072);
static_assert(SealedBytes(kFrameBytesMax) <= kRecordStride);

}  // namespace qkme
