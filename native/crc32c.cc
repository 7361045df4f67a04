#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace qkme {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;
using Table = std::array<uint32_t, 256>;

constexpr std::array<Table, 8> MakeSlices() {
  std::array<Table, 8> slices{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) ? kPolynomial : 0);
    slices[0][i] = c;
  }
  for (size_t s = 1; s < 8; ++s)
    for (uint32_t i = 0; i < 256; ++i) slices[s][i] = (slices[s - 1][i] >> 8) ^ slices[0][slices[s - 1][i] & 255];
  return slices;
}
constexpr std::array<Table, 8> kSlices = MakeSlices();

// Three streams run side by side because the instruction takes one cycle to issue and three to finish. To
// join them, a sum is moved over the zeros of one stream length, a linear map kept as four tables.
constexpr size_t kLong = 1024, kShort = 128;
using Shift = std::array<Table, 4>;

constexpr uint32_t OverZeros(uint32_t raw, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) raw = (raw >> 8) ^ kSlices[0][raw & 255];
  return raw;
}

Shift MakeShift(size_t bytes) {
  uint32_t image[32];
  for (int bit = 0; bit < 32; ++bit) image[bit] = OverZeros(1u << bit, bytes);
  Shift shift{};
  for (size_t byte = 0; byte < 4; ++byte)
    for (uint32_t v = 0; v < 256; ++v)
      for (size_t bit = 0; bit < 8; ++bit)
        if (v >> bit & 1) shift[byte][v] ^= image[8 * byte + bit];
  return shift;
}
const Shift kShiftLong = MakeShift(kLong), kShiftShort = MakeShift(kShort);

[[maybe_unused]] inline uint32_t Move(const Shift& s, uint32_t raw) {
  return s[0][raw & 255] ^ s[1][raw >> 8 & 255] ^ s[2][raw >> 16 & 255] ^ s[3][raw >> 24];
}

inline uint64_t Load(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

#if defined(__x86_64__)
#define QKME_CRC_TARGET __attribute__((target("sse4.2")))
QKME_CRC_TARGET inline uint32_t Step8(uint32_t raw, uint64_t word) { return uint32_t(_mm_crc32_u64(raw, word)); }
QKME_CRC_TARGET inline uint32_t Step1(uint32_t raw, uint8_t byte) { return _mm_crc32_u8(raw, byte); }
bool HaveInstruction() { return __builtin_cpu_supports("sse4.2"); }
constexpr const char* kName = "sse4.2";
#elif defined(__aarch64__)
#define QKME_CRC_TARGET __attribute__((target("+crc")))
QKME_CRC_TARGET inline uint32_t Step8(uint32_t raw, uint64_t word) { return __crc32cd(raw, word); }
QKME_CRC_TARGET inline uint32_t Step1(uint32_t raw, uint8_t byte) { return __crc32cb(raw, byte); }
bool HaveInstruction() { return (getauxval(AT_HWCAP) & (1 << 7)) != 0; }  // HWCAP_CRC32
constexpr const char* kName = "armv8";
#endif

#if defined(QKME_CRC_TARGET)
QKME_CRC_TARGET const uint8_t* ThreeStreams(uint32_t* raw, const uint8_t* p, size_t* length, size_t stream, const Shift& shift) {
  while (*length >= 3 * stream) {
    uint32_t a = *raw, b = 0, c = 0;
    for (size_t i = 0; i < stream; i += 8) {
      a = Step8(a, Load(p + i));
      b = Step8(b, Load(p + stream + i));
      c = Step8(c, Load(p + 2 * stream + i));
    }
    *raw = Move(shift, Move(shift, a) ^ b) ^ c;
    p += 3 * stream;
    *length -= 3 * stream;
  }
  return p;
}

QKME_CRC_TARGET uint32_t UpdateHardware(uint32_t raw, const uint8_t* p, size_t length) {
  p = ThreeStreams(&raw, p, &length, kLong, kShiftLong);
  p = ThreeStreams(&raw, p, &length, kShort, kShiftShort);
  for (; length >= 8; p += 8, length -= 8) raw = Step8(raw, Load(p));
  for (; length > 0; ++p, --length) raw = Step1(raw, *p);
  return raw;
}
const bool kHardware = HaveInstruction();
#endif

#if defined(__x86_64__)
// Folding with carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction", Intel, 2009), on four lanes of 128 bits in each of four registers: what lies D bits before other bits is
// added to them after multiplication by x^D modulo P. Reflected, so that the low half, which is 64 bits further off, and the
// product's shift by one bit make D + 32 and D - 32 of it.
constexpr uint64_t Power(size_t n) {
  uint32_t raw = 0x80000000;
  for (size_t i = 0; i < n; ++i) raw = (raw >> 1) ^ ((raw & 1) ? kPolynomial : 0);
  return uint64_t{raw} << 1;
}
template <size_t kBits> struct Fold {
  static constexpr uint64_t kLow = Power(kBits + 32), kHigh = Power(kBits - 32);
};

#define QKME_FOLD_TARGET __attribute__((target("vpclmulqdq,pclmul,avx512f,avx512bw,avx512dq,avx2,sse4.2")))
constexpr size_t kFoldMin = 512, kLane = 64, kXor3 = 0x96;

template <size_t kBits> QKME_FOLD_TARGET inline __m512i Fold512(__m512i sum, __m512i next) {
  const __m512i by = _mm512_set_epi64(Fold<kBits>::kHigh, Fold<kBits>::kLow, Fold<kBits>::kHigh, Fold<kBits>::kLow,
                                      Fold<kBits>::kHigh, Fold<kBits>::kLow, Fold<kBits>::kHigh, Fold<kBits>::kLow);
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, by, 0x00), _mm512_clmulepi64_epi128(sum, by, 0x11), next, kXor3);
}

template <size_t kBits> QKME_FOLD_TARGET inline __m128i Fold128(__m128i sum, __m128i next) {
  const __m128i by = _mm_set_epi64x(Fold<kBits>::kHigh, Fold<kBits>::kLow);
  return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(sum, by, 0x00), _mm_clmulepi64_si128(sum, by, 0x11)));
}

/// At least kFoldMin bytes.
QKME_FOLD_TARGET uint32_t UpdateFolding(uint32_t raw, const uint8_t* p, size_t length) {
  __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128(int(raw))));
  __m512i b = _mm512_loadu_si512(p + kLane), c = _mm512_loadu_si512(p + 2 * kLane), d = _mm512_loadu_si512(p + 3 * kLane);
  p += 4 * kLane;
  length -= 4 * kLane;
  for (; length >= 4 * kLane; p += 4 * kLane, length -= 4 * kLane) {
    a = Fold512<2048>(a, _mm512_loadu_si512(p));
    b = Fold512<2048>(b, _mm512_loadu_si512(p + kLane));
    c = Fold512<2048>(c, _mm512_loadu_si512(p + 2 * kLane));
    d = Fold512<2048>(d, _mm512_loadu_si512(p + 3 * kLane));
  }
  d = Fold512<512>(Fold512<512>(Fold512<512>(a, b), c), d);
  for (; length >= kLane; p += kLane, length -= kLane) d = Fold512<512>(d, _mm512_loadu_si512(p));
  alignas(64) __m128i lanes[4];
  _mm512_store_si512(lanes, d);
  const __m128i sum = Fold128<128>(Fold128<128>(Fold128<128>(lanes[0], lanes[1]), lanes[2]), lanes[3]);
  raw = Step8(Step8(0, uint64_t(_mm_cvtsi128_si64(sum))), uint64_t(_mm_extract_epi64(sum, 1)));
  return UpdateHardware(raw, p, length);
}
const bool kFolding = kHardware && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif

}  // namespace

uint32_t Crc32cUpdatePortable(uint32_t raw, const void* data, size_t length) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  for (; length >= 8; p += 8, length -= 8) {
    const uint64_t word = Load(p) ^ raw;
    raw = kSlices[7][word & 255] ^ kSlices[6][word >> 8 & 255] ^ kSlices[5][word >> 16 & 255] ^ kSlices[4][word >> 24 & 255] ^
          kSlices[3][word >> 32 & 255] ^ kSlices[2][word >> 40 & 255] ^ kSlices[1][word >> 48 & 255] ^ kSlices[0][word >> 56];
  }
  for (; length > 0; ++p, --length) raw = (raw >> 8) ^ kSlices[0][(raw ^ *p) & 255];
  return raw;
}

uint32_t Crc32cUpdate(uint32_t raw, const void* data, size_t length) {
#if defined(__x86_64__)
  if (kFolding && length >= kFoldMin) return UpdateFolding(raw, static_cast<const uint8_t*>(data), length);
#endif
#if defined(QKME_CRC_TARGET)
  if (kHardware) return UpdateHardware(raw, static_cast<const uint8_t*>(data), length);
#endif
  return Crc32cUpdatePortable(raw, data, length);
}

const char* Crc32cImplementation() {
#if defined(__x86_64__)
  if (kFolding) return "vpclmulqdq";
#endif
#if defined(QKME_CRC_TARGET)
  if (kHardware) return kName;
#endif
  return "portable";
}

}  // namespace qkme
