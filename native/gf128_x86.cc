// GF(2^128) with carry-less multiplication instructions. Each function carries its own target, so the
// addon is built without machine flags and chooses at run time.
#include "gf128.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace qkme::gf {
namespace {

// clmul selectors: bit 0 picks the half of the first operand, bit 4 that of the second.
constexpr int kLowLow = 0x00;
constexpr int kHighLow = 0x01;
constexpr int kLowHigh = 0x10;
constexpr int kHighHigh = 0x11;

#define QKME_PCLMUL __attribute__((target("pclmul,sse4.1")))
#define QKME_VPCLMUL256 __attribute__((target("vpclmulqdq,pclmul,avx2")))
#define QKME_VPCLMUL512 __attribute__((target("vpclmulqdq,pclmul,avx512f,avx2")))

// low + middle x^64 + high x^128, reduced: x^128 = 0x87, first for the top 64 bits, then for the next.
QKME_PCLMUL inline __m128i Reduce(__m128i low, __m128i middle, __m128i high) {
  const __m128i poly = _mm_cvtsi32_si128(0x87);
  low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
  high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));
  const __m128i top = _mm_clmulepi64_si128(high, poly, kHighLow);
  high = _mm_xor_si128(high, _mm_srli_si128(top, 8));
  low = _mm_xor_si128(low, _mm_slli_si128(top, 8));
  return _mm_xor_si128(low, _mm_clmulepi64_si128(high, poly, kLowLow));
}

struct Sums {
  __m128i low;
  __m128i middle;
  __m128i high;
};

QKME_PCLMUL inline void Accumulate(Sums* sums, __m128i a, __m128i b) {
  sums->low = _mm_xor_si128(sums->low, _mm_clmulepi64_si128(a, b, kLowLow));
  sums->high = _mm_xor_si128(sums->high, _mm_clmulepi64_si128(a, b, kHighHigh));
  const __m128i cross =
      _mm_xor_si128(_mm_clmulepi64_si128(a, b, kHighLow), _mm_clmulepi64_si128(a, b, kLowHigh));
  sums->middle = _mm_xor_si128(sums->middle, cross);
}

QKME_PCLMUL inline __m128i Load(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }

QKME_VPCLMUL256 inline __m128i Fold256(__m256i x) {
  return _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

// The zero-masked forms, because the plain ones make GCC 12 warn of uninitialised values in its own header.
QKME_VPCLMUL512 inline __m128i Fold512(__m512i x) {
  constexpr __mmask8 kAll = 0x0F;
  return Fold256(_mm256_xor_si256(_mm512_maskz_extracti64x4_epi64(kAll, x, 0), _mm512_maskz_extracti64x4_epi64(kAll, x, 1)));
}

}  // namespace

QKME_PCLMUL void SerialPclmul(uint64_t* sum, const uint64_t* key, const uint8_t* blocks, size_t count) {
  const __m128i k = Load(key);
  __m128i s = Load(sum);
  for (; count > 0; --count, blocks += kGfBytes) {
    Sums sums = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    Accumulate(&sums, _mm_xor_si128(s, Load(blocks)), k);
    s = Reduce(sums.low, sums.middle, sums.high);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sum), s);
}

// Three multiplications for four (Karatsuba): these instructions are what is scarce at this width. The halves of the powers are
// added on the way, which costs less than keeping them.
QKME_PCLMUL void GroupsPclmul(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width) {
  const uint64_t(*const powers)[2] = state->powers + (PolyHash::kPowers - width);
  __m128i s = Load(state->sum);
  for (; groups > 0; --groups, blocks += width * kGfBytes) {
    __m128i low = _mm_setzero_si128();
    __m128i high = low;
    __m128i both = low;
    // The first block, which waits for the previous group's sum, comes last.
    for (size_t i = width; i-- > 0;) {
      __m128i m = Load(blocks + i * kGfBytes);
      if (i == 0) m = _mm_xor_si128(m, s);
      const __m128i power = Load(powers[i]);
      const __m128i m_halves = _mm_xor_si128(m, _mm_shuffle_epi32(m, 0x4E));
      const __m128i power_halves = _mm_xor_si128(power, _mm_shuffle_epi32(power, 0x4E));
      low = _mm_xor_si128(low, _mm_clmulepi64_si128(m, power, kLowLow));
      high = _mm_xor_si128(high, _mm_clmulepi64_si128(m, power, kHighHigh));
      both = _mm_xor_si128(both, _mm_clmulepi64_si128(m_halves, power_halves, kLowLow));
    }
    s = Reduce(low, _mm_xor_si128(both, _mm_xor_si128(low, high)), high);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state->sum), s);
}

QKME_VPCLMUL256 void GroupsVpclmul256(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width) {
  constexpr size_t kWay = 2;
  const uint64_t(*const powers)[2] = state->powers + (PolyHash::kPowers - width);
  __m128i s = Load(state->sum);
  for (; groups > 0; --groups, blocks += width * kGfBytes) {
    __m256i low = _mm256_setzero_si256();
    __m256i middle = low;
    __m256i high = low;
    for (size_t j = width / kWay; j-- > 0;) {
      __m256i m = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks + j * kWay * kGfBytes));
      if (j == 0) m = _mm256_xor_si256(m, _mm256_zextsi128_si256(s));
      const __m256i power = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(powers[j * kWay]));
      low = _mm256_xor_si256(low, _mm256_clmulepi64_epi128(m, power, kLowLow));
      high = _mm256_xor_si256(high, _mm256_clmulepi64_epi128(m, power, kHighHigh));
      middle = _mm256_xor_si256(middle, _mm256_clmulepi64_epi128(m, power, kHighLow));
      middle = _mm256_xor_si256(middle, _mm256_clmulepi64_epi128(m, power, kLowHigh));
    }
    s = Reduce(Fold256(low), Fold256(middle), Fold256(high));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state->sum), s);
}

QKME_VPCLMUL512 void GroupsVpclmul512(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width) {
  constexpr size_t kWay = 4;
  constexpr int kXor3 = 0x96;
  const uint64_t(*const powers)[2] = state->powers + (PolyHash::kPowers - width);
  __m128i s = Load(state->sum);
  for (; groups > 0; --groups, blocks += width * kGfBytes) {
    __m512i low = _mm512_setzero_si512();
    __m512i middle = low;
    __m512i high = low;
    for (size_t j = width / kWay; j-- > 0;) {
      __m512i m = _mm512_loadu_si512(blocks + j * kWay * kGfBytes);
      if (j == 0) m = _mm512_xor_si512(m, _mm512_zextsi128_si512(s));
      const __m512i power = _mm512_loadu_si512(powers[j * kWay]);
      low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128(m, power, kLowLow));
      high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128(m, power, kHighHigh));
      middle = _mm512_ternarylogic_epi64(middle, _mm512_clmulepi64_epi128(m, power, kHighLow), _mm512_clmulepi64_epi128(m, power, kLowHigh), kXor3);
    }
    s = Reduce(Fold512(low), Fold512(middle), Fold512(high));
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state->sum), s);
}

}  // namespace qkme::gf
#endif
