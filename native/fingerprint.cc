#include "fingerprint.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qkme {
namespace {

__extension__ typedef unsigned __int128 Wide;

inline uint64_t Word(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// Sum of (m_2i + k_2i)(m_2i+1 + k_2i+1) modulo 2^128 over the first bytes of `payload`; *done: how many they are, a multiple of 16.
Wide NhPortable(const uint8_t* payload, size_t length, const uint64_t* key, size_t* done) {
  const auto product = [&](size_t i) { return Wide{Word(payload + i) + key[i / 8]} * (Word(payload + i + 8) + key[i / 8 + 1]); };
  // Two sums, because each addition waits for the carry of the one before.
  Wide sum = 0, other = 0;
  size_t i = 0;
  for (; i + 32 <= length; i += 32) {
    sum += product(i);
    other += product(i + 16);
  }
  if (i + 16 <= length) {
    sum += product(i);
    i += 16;
  }
  *done = i;
  return sum + other;
}

#if defined(__x86_64__)
// Eight products at once. A word is a low part of 52 bits and a high one of 12, and the halves of the products of parts are added up by their
// weight: 1, 2^52 and 2^104. No sum comes near 2^64 in 31 rounds of less than 2^53.
__attribute__((target("avx512f,avx512ifma"))) Wide NhIfma512(const uint8_t* payload, size_t length, const uint64_t* key, size_t* done) {
  constexpr size_t kRound = 128;
  __m512i low = _mm512_setzero_si512();
  __m512i middle = low, cross = low, crossed = low, high = low, higher = low, top = low;
  size_t i = 0;
  for (; i + kRound <= length; i += kRound) {
    const __m512i x = _mm512_add_epi64(_mm512_loadu_si512(payload + i), _mm512_loadu_si512(key + i / 8));
    const __m512i y = _mm512_add_epi64(_mm512_loadu_si512(payload + i + 64), _mm512_loadu_si512(key + i / 8 + 8));
    // The zero-masked forms, because the plain ones make GCC 12 warn of uninitialised values in its own header.
    const __m512i a = _mm512_maskz_unpacklo_epi64(0xFF, x, y), b = _mm512_maskz_unpackhi_epi64(0xFF, x, y);
    const __m512i a_high = _mm512_maskz_srli_epi64(0xFF, a, 52), b_high = _mm512_maskz_srli_epi64(0xFF, b, 52);
    low = _mm512_madd52lo_epu64(low, a, b);
    middle = _mm512_madd52hi_epu64(middle, a, b);
    cross = _mm512_madd52lo_epu64(cross, a, b_high);
    high = _mm512_madd52hi_epu64(high, a, b_high);
    crossed = _mm512_madd52lo_epu64(crossed, a_high, b);
    higher = _mm512_madd52hi_epu64(higher, a_high, b);
    top = _mm512_madd52lo_epu64(top, a_high, b_high);
  }
  alignas(64) uint64_t sums[3][8];
  _mm512_store_si512(sums[0], low);
  _mm512_store_si512(sums[1], _mm512_add_epi64(middle, _mm512_add_epi64(cross, crossed)));
  _mm512_store_si512(sums[2], _mm512_add_epi64(top, _mm512_add_epi64(high, higher)));
  uint64_t by_weight[3] = {};
  for (int weight = 0; weight < 3; ++weight)
    for (int lane = 0; lane < 8; ++lane) by_weight[weight] += sums[weight][lane];
  size_t rest = 0;
  const Wide sum = NhPortable(payload + i, length - i, key + i / 8, &rest);
  *done = i + rest;
  return sum + by_weight[0] + (Wide{by_weight[1]} << 52) + (Wide{by_weight[2]} << 104);
}
#endif

SipHash Subkey(const SipHash& a, const SipHash& b, uint64_t label) {
  uint8_t key[16];
  const uint64_t words[2] = {label, label + 1};
  const uint64_t left = a(&words[0], 8), right = b(&words[1], 8);
  std::memcpy(key, &left, 8);
  std::memcpy(key + 8, &right, 8);
  SipHash made(key);
  explicit_bzero(key, sizeof key);
  return made;
}

}  // namespace

bool NhSupported(NhImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return impl == NhImpl::kPortable || __builtin_cpu_supports("avx512ifma");
#else
  return impl == NhImpl::kPortable;
#endif
}

NhImpl NhBest() {
  static const NhImpl best = NhSupported(NhImpl::kIfma512) ? NhImpl::kIfma512 : NhImpl::kPortable;
  return best;
}

Fingerprinter::Fingerprinter(const uint8_t* key) {
  const SipHash a(key), b(key + 16);
  // Labels apart by more than any counter reaches: no two uses share an input.
  finish_ = Subkey(a, b, uint64_t{1} << 40);
  name_ = Subkey(a, b, uint64_t{2} << 40);
  const SipHash expand = Subkey(a, b, uint64_t{3} << 40);
  for (uint64_t i = 0; i < kWords; ++i) nh_key_[i] = expand(&i, sizeof i);
}

Fingerprinter::~Fingerprinter() { explicit_bzero(static_cast<void*>(this), sizeof *this); }

uint64_t Fingerprinter::Payload(const uint8_t* payload, size_t length, NhImpl impl) const {
  size_t done = 0;
#if defined(__x86_64__)
  Wide sum = (impl == NhImpl::kIfma512 ? NhIfma512 : NhPortable)(payload, length, nh_key_.data(), &done);
#else
  Wide sum = NhPortable(payload, length, nh_key_.data(), &done);
#endif
  if (done < length) {
    uint8_t last[16] = {};
    std::memcpy(last, payload + done, length - done);
    size_t one = 0;
    sum += NhPortable(last, sizeof last, &nh_key_[done / 8], &one);
  }
  const uint64_t digest[3] = {uint64_t(sum), uint64_t(sum >> 64), length};
  return finish_(digest, sizeof digest);
}

uint64_t Fingerprinter::Name(uint32_t link, const uint8_t* block_id, uint32_t offset) const {
  uint8_t name[24];
  std::memcpy(name, &link, 4);
  std::memcpy(name + 4, block_id, 16);
  std::memcpy(name + 20, &offset, 4);
  return name_(name, sizeof name);
}

}  // namespace qkme
