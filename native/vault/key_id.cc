#include "vault/key_id.h"

#include <array>
#include <cstring>

#include "vault/big_endian.h"

namespace qkme::vault {
namespace {

// Byte index before which a hyphen stands.
constexpr bool HyphenBefore(size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

struct HexPairs {
  char text[512];
};

constexpr HexPairs MakeHexPairs() {
  constexpr char kDigits[] = "0123456789abcdef";
  HexPairs pairs{};
  for (int i = 0; i < 256; ++i) {
    pairs.text[2 * i] = kDigits[i >> 4];
    pairs.text[2 * i + 1] = kDigits[i & 15];
  }
  return pairs;
}

constexpr HexPairs kHexPairs = MakeHexPairs();

constexpr uint8_t kNoDigit = 0xFF;

constexpr std::array<uint8_t, 256> MakeHexValues() {
  std::array<uint8_t, 256> values{};
  for (auto& value : values) value = kNoDigit;
  for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<uint8_t>(10 + i);
  return values;
}

constexpr std::array<uint8_t, 256> kHexValues = MakeHexValues();

}  // namespace

void ComposeUuid(uint64_t tag, Bits128 masked, uint8_t* uuid) {
  const Bits128 bits = static_cast<Bits128>(tag) << kKeyIdFieldBits | masked;
  const uint64_t top = static_cast<uint64_t>(bits >> 62);  // 60 bits
  StoreBig((top >> 12) << 16 | uint64_t{0x4000} | (top & 0xFFF), uuid);
  StoreBig(uint64_t{2} << 62 | (static_cast<uint64_t>(bits) & (~uint64_t{0} >> 2)), uuid + 8);
}

bool DecomposeUuid(const uint8_t* uuid, uint64_t* tag, Bits128* masked) {
  const uint64_t high = LoadBig(uuid);
  const uint64_t low = LoadBig(uuid + 8);
  const uint64_t top = (high >> 16) << 12 | (high & 0xFFF);
  const Bits128 bits = static_cast<Bits128>(top) << 62 | (low & (~uint64_t{0} >> 2));
  *tag = static_cast<uint64_t>(bits >> kKeyIdFieldBits);
  *masked = bits & ((static_cast<Bits128>(1) << kKeyIdFieldBits) - 1);
  return (high >> 12 & 15) == 4 && low >> 62 == 2;
}

void FormatUuid(const uint8_t* uuid, char* text) {
  for (size_t i = 0; i < kUuidBytes; ++i) {
    if (HyphenBefore(i)) *text++ = '-';
    std::memcpy(text, kHexPairs.text + 2 * uuid[i], 2);
    text += 2;
  }
}

bool ParseUuid(const char* text, uint8_t* uuid) {
  bool good = true;
  uint8_t digits = 0;
  for (size_t i = 0; i < kUuidBytes; ++i) {
    if (HyphenBefore(i)) good &= *text++ == '-';
    const uint8_t high = kHexValues[static_cast<uint8_t>(text[0])];
    const uint8_t low = kHexValues[static_cast<uint8_t>(text[1])];
    digits |= high | low;  // A wrong digit is the only value above 15.
    uuid[i] = static_cast<uint8_t>(high << 4 | (low & 15));
    text += 2;
  }
  good &= digits <= 15;
  if (!good) std::memset(uuid, 0, kUuidBytes);
  return good;
}

}  // namespace qkme::vault
