// The form of a key_ID: which bits of a version 4 UUID carry what. The cipher is in key_id_cipher.h.
//
//   122 free bits, most significant first:   tag 51 | masked fields 71
//   fields:                                  block 32 | place 13 | length - 1 in bytes 10 | association 16
//
// In the UUID: byte 6 begins with the version 0100, byte 8 with the variant 10 (RFC 9562, 5.4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme::vault {

using Bits128 = unsigned __int128;

inline constexpr int kKeyIdTagBits = 51;
inline constexpr int kKeyIdFieldBits = 71;
inline constexpr size_t kUuidBytes = 16;
inline constexpr size_t kUuidChars = 36;
inline constexpr uint32_t kKeyBytesMax = 1024;
inline constexpr uint32_t kPlacesMax = 1u << 13;
inline constexpr uint32_t kAssociationsMax = 1u << 16;

struct KeyIdFields {
  uint32_t block;        ///< the low 32 bits of its number
  uint32_t place;        ///< offset in units of 8 bytes, below kPlacesMax
  uint32_t length;       ///< bytes, 1 to kKeyBytesMax
  uint32_t association;  ///< below kAssociationsMax
};

/// The fields as a number of kKeyIdFieldBits bits. They are in range.
constexpr Bits128 PackFields(const KeyIdFields& f) {
  return static_cast<Bits128>(f.block) << 39 | static_cast<Bits128>(f.place) << 26 |
         static_cast<Bits128>(f.length - 1) << 16 | f.association;
}

constexpr KeyIdFields UnpackFields(Bits128 packed) {
  const uint64_t low = static_cast<uint64_t>(packed);
  return {static_cast<uint32_t>(packed >> 39), static_cast<uint32_t>(low >> 26 & (kPlacesMax - 1)),
          static_cast<uint32_t>(low >> 16 & (kKeyBytesMax - 1)) + 1, static_cast<uint32_t>(low & (kAssociationsMax - 1))};
}

/// Tag (kKeyIdTagBits) and masked fields (kKeyIdFieldBits) to a UUID of version 4.
void ComposeUuid(uint64_t tag, Bits128 masked, uint8_t* uuid);
/// The reverse. False if version or variant are others.
bool DecomposeUuid(const uint8_t* uuid, uint64_t* tag, Bits128* masked);

/// Writes kUuidChars characters, lower case.
void FormatUuid(const uint8_t* uuid, char* text);
/// Reads kUuidChars characters in any letter case. False if the form is wrong; `uuid` is then all zero.
bool ParseUuid(const char* text, uint8_t* uuid);

}  // namespace qkme::vault
