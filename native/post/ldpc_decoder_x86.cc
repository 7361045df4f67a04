// A row of the decoder with AVX2 and with AVX-512. Each function carries its own target, so the addon is built
// without machine flags and chooses at run time.
#include "post/ldpc_decoder.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace qkme::post::ldpc {
namespace {

#define QKME_AVX2 __attribute__((target("avx2,popcnt")))
#define QKME_AVX512 __attribute__((target("avx512f,avx512bw,popcnt")))

QKME_AVX2 inline __m256i Combine(__m256i a, __m256i b, __m256i table) {
  const __m256i last = _mm256_set1_epi8(15);
  const __m256i least = _mm256_min_epu8(a, b);
  const __m256i most = _mm256_max_epu8(a, b);
  const __m256i apart = _mm256_min_epu8(_mm256_sub_epi8(most, least), last);
  const __m256i together = _mm256_min_epu8(_mm256_adds_epu8(most, least), last);
  return _mm256_subs_epu8(_mm256_add_epi8(least, _mm256_shuffle_epi8(table, together)), _mm256_shuffle_epi8(table, apart));
}

QKME_AVX512 inline __m512i Combine512(__m512i a, __m512i b, __m512i table) {
  const __m512i last = _mm512_set1_epi8(15);
  const __m512i least = _mm512_min_epu8(a, b);
  const __m512i most = _mm512_max_epu8(a, b);
  const __m512i apart = _mm512_min_epu8(_mm512_sub_epi8(most, least), last);
  const __m512i together = _mm512_min_epu8(_mm512_adds_epu8(most, least), last);
  return _mm512_subs_epu8(_mm512_add_epi8(least, _mm512_shuffle_epi8(table, together)), _mm512_shuffle_epi8(table, apart));
}

// Bit i of `bits` as the sign of byte i.
QKME_AVX2 inline __m256i Signs(uint32_t bits) {
  const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i each = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), spread);
  return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, each), each);
}

}  // namespace

QKME_AVX2 uint32_t LayerAvx2(const Layer& layer) {
  constexpr uint32_t kLanes = 32;
  alignas(32) int8_t incoming[kLdpcRowWeightMax * kLanes];
  int8_t* columns[kLdpcRowWeightMax];
  for (uint32_t k = 0; k < layer.degree; ++k) columns[k] = layer.posteriors + layer.edges[k].column * kColumnStride;
  const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(layer.correction)));
  const __m256i cap = _mm256_set1_epi8(kMessageMax);
  const __m256i one = _mm256_set1_epi8(1);
  const __m256i zero = _mm256_setzero_si256();
  const __m256i most = _mm256_set1_epi8(kMagnitudeMax);
  const auto* const syndrome = reinterpret_cast<const uint8_t*>(layer.syndrome);
  int8_t* messages = layer.messages;
  uint32_t unsatisfied = 0;
  for (uint32_t i = 0; i < kLdpcCirculant; i += kLanes, messages += layer.degree * kLanes) {
    uint32_t bits;
    __builtin_memcpy(&bits, syndrome + i / 8, sizeof bits);
    __m256i sign = Signs(bits);
    __m256i parity = sign;
    __m256i least = _mm256_set1_epi8(kMagnitudeMax);
    __m256i rest = least;
    for (uint32_t k = 0; k < layer.degree; ++k) {
      const int8_t* const at = columns[k] + ((i + layer.edges[k].shift) & (kLdpcCirculant - 1));
      const __m256i posterior = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      const __m256i message = _mm256_load_si256(reinterpret_cast<const __m256i*>(messages + k * kLanes));
      const __m256i full = _mm256_cmpeq_epi8(_mm256_max_epi8(posterior, _mm256_subs_epi8(zero, posterior)), most);
      const __m256i in = _mm256_subs_epi8(posterior, _mm256_andnot_si256(full, message));
      _mm256_store_si256(reinterpret_cast<__m256i*>(incoming + k * kLanes), in);
      const __m256i magnitude = _mm256_abs_epi8(in);
      sign = _mm256_xor_si256(sign, in);
      parity = _mm256_xor_si256(parity, posterior);
      rest = Combine(rest, _mm256_max_epu8(least, magnitude), table);
      least = _mm256_min_epu8(least, magnitude);
    }
    unsatisfied += static_cast<uint32_t>(__builtin_popcount(static_cast<uint32_t>(_mm256_movemask_epi8(parity))));
    const __m256i to_least = _mm256_min_epu8(rest, cap);
    const __m256i to_others = _mm256_min_epu8(Combine(rest, least, table), cap);
    const __m256i change = _mm256_xor_si256(to_least, to_others);
    for (uint32_t k = 0; k < layer.degree; ++k) {
      auto* const at = reinterpret_cast<__m256i*>(columns[k] + ((i + layer.edges[k].shift) & (kLdpcCirculant - 1)));
      const __m256i in = _mm256_load_si256(reinterpret_cast<const __m256i*>(incoming + k * kLanes));
      const __m256i is_least = _mm256_cmpeq_epi8(_mm256_abs_epi8(in), least);
      const __m256i magnitude = _mm256_xor_si256(to_others, _mm256_and_si256(change, is_least));
      const __m256i message = _mm256_sign_epi8(magnitude, _mm256_or_si256(_mm256_xor_si256(sign, in), one));
      _mm256_store_si256(reinterpret_cast<__m256i*>(messages + k * kLanes), message);
      _mm256_storeu_si256(at, _mm256_adds_epi8(in, message));
    }
  }
  return unsatisfied;
}

QKME_AVX512 uint32_t LayerAvx512(const Layer& layer) {
  constexpr uint32_t kLanes = 64;
  alignas(64) int8_t incoming[kLdpcRowWeightMax * kLanes];
  int8_t* columns[kLdpcRowWeightMax];
  for (uint32_t k = 0; k < layer.degree; ++k) columns[k] = layer.posteriors + layer.edges[k].column * kColumnStride;
  const __m512i table = _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(layer.correction)));
  const __m512i cap = _mm512_set1_epi8(kMessageMax);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i most = _mm512_set1_epi8(kMagnitudeMax);
  int8_t* messages = layer.messages;
  uint32_t unsatisfied = 0;
  for (uint32_t i = 0; i < kLdpcCirculant; i += kLanes, messages += layer.degree * kLanes) {
    __m512i sign = _mm512_movm_epi8(layer.syndrome[i / 64]);
    __m512i parity = sign;
    __m512i least = _mm512_set1_epi8(kMagnitudeMax);
    __m512i rest = least;
    for (uint32_t k = 0; k < layer.degree; ++k) {
      const int8_t* const at = columns[k] + ((i + layer.edges[k].shift) & (kLdpcCirculant - 1));
      const __m512i posterior = _mm512_loadu_si512(at);
      const __mmask64 open = _mm512_cmplt_epu8_mask(_mm512_abs_epi8(posterior), most);
      const __m512i in = _mm512_subs_epi8(posterior, _mm512_maskz_loadu_epi8(open, messages + k * kLanes));
      _mm512_store_si512(incoming + k * kLanes, in);
      const __m512i magnitude = _mm512_abs_epi8(in);
      sign = _mm512_xor_si512(sign, in);
      parity = _mm512_xor_si512(parity, posterior);
      rest = Combine512(rest, _mm512_max_epu8(least, magnitude), table);
      least = _mm512_min_epu8(least, magnitude);
    }
    unsatisfied += static_cast<uint32_t>(__builtin_popcountll(_mm512_movepi8_mask(parity)));
    const __m512i to_least = _mm512_min_epu8(rest, cap);
    const __m512i to_others = _mm512_min_epu8(Combine512(rest, least, table), cap);
    for (uint32_t k = 0; k < layer.degree; ++k) {
      int8_t* const at = columns[k] + ((i + layer.edges[k].shift) & (kLdpcCirculant - 1));
      const __m512i in = _mm512_load_si512(incoming + k * kLanes);
      const __mmask64 is_least = _mm512_cmpeq_epi8_mask(_mm512_abs_epi8(in), least);
      const __m512i magnitude = _mm512_mask_blend_epi8(is_least, to_others, to_least);
      const __mmask64 negative = _mm512_movepi8_mask(_mm512_xor_si512(sign, in));
      const __m512i message = _mm512_mask_sub_epi8(magnitude, negative, zero, magnitude);
      _mm512_store_si512(messages + k * kLanes, message);
      _mm512_storeu_si512(at, _mm512_adds_epi8(in, message));
    }
  }
  return unsatisfied;
}

}  // namespace qkme::post::ldpc
#endif
