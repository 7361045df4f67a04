// Numbers as big-endian bytes, the order of the key_ID's fields.
#pragma once

#include <cstdint>
#include <cstring>

namespace qkme::vault {

inline uint64_t LoadBig(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}

inline void StoreBig(uint64_t value, uint8_t* at) {
  value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace qkme::vault
