// GF(2^128) with 64-bit integer multiplications only. Constant time where the processor multiplies in
// constant time: no table and no branch depends on key or data.
#include <cstring>

#include "gf128.h"

namespace qkme::gf {
namespace {

// The low 64 bits of the carry-less product. Each operand is cut into four interleaved parts with
// three-bit holes between their bits; the carries of an ordinary multiplication then stay in the holes
// (at most 16 terms meet in one position, and 16 only in the topmost one, whose carry falls off).
uint64_t MultiplyLow(uint64_t x, uint64_t y) {
  constexpr uint64_t kEvery4 = 0x1111111111111111u;
  uint64_t xs[4];
  uint64_t ys[4];
  for (int i = 0; i < 4; ++i) {
    xs[i] = x & kEvery4 << i;
    ys[i] = y & kEvery4 << i;
  }
  uint64_t product = 0;
  for (int k = 0; k < 4; ++k) {
    uint64_t part = 0;
    for (int i = 0; i < 4; ++i) part ^= xs[i] * ys[(k - i) & 3];
    product |= part & kEvery4 << k;
  }
  return product;
}

uint64_t ReverseBits(uint64_t x) {
  x = (x & 0x5555555555555555u) << 1 | (x >> 1 & 0x5555555555555555u);
  x = (x & 0x3333333333333333u) << 2 | (x >> 2 & 0x3333333333333333u);
  x = (x & 0x0F0F0F0F0F0F0F0Fu) << 4 | (x >> 4 & 0x0F0F0F0F0F0F0F0Fu);
  return __builtin_bswap64(x);
}

}  // namespace

// Reversing both operands turns the high half of the product into the low half.
Wide MultiplyPortable(uint64_t x, uint64_t y) {
  return {MultiplyLow(x, y), ReverseBits(MultiplyLow(ReverseBits(x), ReverseBits(y))) >> 1};
}

void SerialPortable(uint64_t* sum, const uint64_t* key, const uint8_t* blocks, size_t count) {
  uint64_t s0 = sum[0];
  uint64_t s1 = sum[1];
  for (; count > 0; --count, blocks += kGfBytes) {
    uint64_t block[2];
    std::memcpy(block, blocks, kGfBytes);
    s0 ^= block[0];
    s1 ^= block[1];
    const Wide low = MultiplyPortable(s0, key[0]);
    const Wide high = MultiplyPortable(s1, key[1]);
    const Wide cross = MultiplyPortable(s0 ^ s1, key[0] ^ key[1]);
    const uint64_t middle0 = cross.low ^ low.low ^ high.low;
    const uint64_t middle1 = cross.high ^ low.high ^ high.high;
    const Wide top = Times87(high.high);
    const Wide next = Times87(high.low ^ middle1 ^ top.high);
    s0 = low.low ^ next.low;
    s1 = low.high ^ middle0 ^ top.low ^ next.high;
  }
  sum[0] = s0;
  sum[1] = s1;
}

}  // namespace qkme::gf
