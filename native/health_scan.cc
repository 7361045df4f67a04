// Each function carries its own target, so the addon is built without machine flags and chooses at run time.
#include "health_scan.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qkme {
namespace {

// The plain loops: for other machines, and for what is left behind the last whole vector.

size_t TripleFrom(const uint8_t* p, size_t i, size_t length) {
  for (; i + 2 < length; ++i) {
    if (p[i] == p[i + 1] && p[i] == p[i + 2]) return i;
  }
  return length;
}

// 16 bytes at once, on any machine that GCC and Clang know: comparisons give 0xFF per equal byte.
typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef int8_t Mask16 __attribute__((vector_size(16)));

inline Bytes16 Load16(const uint8_t* p) {
  Bytes16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

size_t TriplePortable(const uint8_t* p, size_t length) {
  size_t i = 0;
  for (; i + 18 <= length; i += 16) {
    const Bytes16 middle = Load16(p + i + 1);
    const Mask16 found = (Load16(p + i) == middle) & (middle == Load16(p + i + 2));
    uint64_t halves[2];
    std::memcpy(halves, &found, sizeof halves);
    if ((halves[0] | halves[1]) != 0) return TripleFrom(p, i, length);
  }
  return TripleFrom(p, i, length);
}

// A lane is a byte: it is emptied before it can have counted further than 255.
uint32_t CountPortable(const uint8_t* p, size_t length, uint8_t value) {
  constexpr size_t kStretch = 255 * 16;
  Bytes16 wanted;
  std::memset(&wanted, value, sizeof wanted);
  uint32_t count = 0;
  size_t i = 0;
  while (i + 16 <= length) {
    const size_t end = length - i > kStretch ? i + kStretch : length;
    Bytes16 counts = {};
    for (; i + 16 <= end; i += 16) counts -= reinterpret_cast<Bytes16>(Load16(p + i) == wanted);
    for (int lane = 0; lane < 16; ++lane) count += counts[lane];
  }
  for (; i < length; ++i) count += p[i] == value;
  return count;
}

// The compiler makes vectors of this loop, of the width that the function around it may use.
__attribute__((always_inline)) inline void Keep(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros) {
  uint64_t all = *ones, any = 0;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, p + 8 * i, 8);
    all &= word;
    any |= word;
  }
  *ones = all;
  *zeros &= ~any;
}

void KeepPortable(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros) { Keep(p, words, ones, zeros); }

using Triple = size_t (*)(const uint8_t*, size_t);
using Count = uint32_t (*)(const uint8_t*, size_t, uint8_t);
using KeepWords = void (*)(const uint8_t*, size_t, uint64_t*, uint64_t*);

#if defined(__x86_64__)
#define QKME_AVX2 __attribute__((target("avx2,popcnt,bmi")))
#if defined(__clang__)  // It drops the whole attribute if it does not know a part.
#define QKME_AVX512 __attribute__((target("avx512bw,avx512f,avx2,popcnt,bmi")))
#else
#define QKME_AVX512 __attribute__((target("avx512bw,avx512f,avx2,popcnt,bmi,prefer-vector-width=512")))
#endif

QKME_AVX2 inline __m256i Load32(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// Of 32 bytes a bit for each that equals the next one. Three in a row are two such bits in a row; the last bit of a stretch
// is carried into the next.
QKME_AVX2 size_t TripleAvx2(const uint8_t* p, size_t length) {
  size_t i = 0;
  for (uint32_t before = 0; i + 33 <= length; i += 32) {
    const uint32_t equal = uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(Load32(p + i), Load32(p + i + 1))));
    const uint32_t pairs = equal & (equal << 1 | before);
    if (pairs != 0) return i + size_t(std::countr_zero(pairs)) - 1;
    before = equal >> 31;
  }
  const size_t from = i > 0 ? i - 1 : 0;
  return from + TriplePortable(p + from, length - from);
}

QKME_AVX2 inline uint32_t EqualAvx2(const uint8_t* p, __m256i wanted) { return uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(Load32(p), wanted))); }

// What is left is looked at with the last whole vector, of which the part that was counted is shifted out.
QKME_AVX2 uint32_t CountAvx2(const uint8_t* p, size_t length, uint8_t value) {
  if (length < 32) return CountPortable(p, length, value);
  const __m256i wanted = _mm256_set1_epi8(char(value));
  size_t i = 0;
  uint32_t count = 0;
  for (; i + 32 <= length; i += 32) count += uint32_t(std::popcount(EqualAvx2(p + i, wanted)));
  if (i < length) count += uint32_t(std::popcount(EqualAvx2(p + length - 32, wanted) >> (32 - (length - i))));
  return count;
}

QKME_AVX2 void KeepAvx2(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros) { Keep(p, words, ones, zeros); }

QKME_AVX512 inline uint64_t EqualNext(const uint8_t* p) { return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(p), _mm512_loadu_si512(p + 1)); }

QKME_AVX512 size_t TripleAvx512(const uint8_t* p, size_t length) {
  size_t i = 0;
  uint64_t before = 0;
  // Four registers per look back: one frame in seventeen finds anything.
  for (; i + 257 <= length; i += 256) {
    uint64_t equal[4];
    for (int k = 0; k < 4; ++k) equal[k] = EqualNext(p + i + 64 * k);
    uint64_t found = equal[0] & (equal[0] << 1 | before);
    for (int k = 1; k < 4; ++k) found |= equal[k] & (equal[k] << 1 | equal[k - 1] >> 63);
    if (found != 0) break;
    before = equal[3] >> 63;
  }
  for (; i + 1 < length; i += 64) {
    const __mmask64 inside = length - 1 - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (length - 1 - i)) - 1;
    const uint64_t equal = _mm512_mask_cmpeq_epi8_mask(inside, _mm512_maskz_loadu_epi8(inside, p + i), _mm512_maskz_loadu_epi8(inside, p + i + 1));
    const uint64_t pairs = equal & (equal << 1 | before);
    if (pairs != 0) return i + size_t(std::countr_zero(pairs)) - 1;
    before = equal >> 63;
  }
  return length;
}

QKME_AVX512 uint32_t CountAvx512(const uint8_t* p, size_t length, uint8_t value) {
  const __m512i wanted = _mm512_set1_epi8(char(value));
  size_t i = 0;
  uint64_t count = 0;
  for (; i + 64 <= length; i += 64) count += uint64_t(std::popcount(_mm512_cmpeq_epi8_mask(_mm512_loadu_si512(p + i), wanted)));
  if (i < length) {
    const __mmask64 inside = (__mmask64{1} << (length - i)) - 1;
    count += uint64_t(std::popcount(_mm512_mask_cmpeq_epi8_mask(inside, _mm512_maskz_loadu_epi8(inside, p + i), wanted)));
  }
  return uint32_t(count);
}

QKME_AVX512 void KeepAvx512(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros) { Keep(p, words, ones, zeros); }

constexpr Triple kTriple[kScanImpls] = {TriplePortable, TripleAvx2, TripleAvx512};
constexpr Count kCount[kScanImpls] = {CountPortable, CountAvx2, CountAvx512};
constexpr KeepWords kKeep[kScanImpls] = {KeepPortable, KeepAvx2, KeepAvx512};
#else
constexpr Triple kTriple[kScanImpls] = {TriplePortable, TriplePortable, TriplePortable};
constexpr Count kCount[kScanImpls] = {CountPortable, CountPortable, CountPortable};
constexpr KeepWords kKeep[kScanImpls] = {KeepPortable, KeepPortable, KeepPortable};
#endif

}  // namespace

bool ScanSupported(ScanImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (impl) {
    case ScanImpl::kPortable: return true;
    case ScanImpl::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi");
    case ScanImpl::kAvx512: return ScanSupported(ScanImpl::kAvx2) && __builtin_cpu_supports("avx512bw");
  }
  return false;
#else
  return impl == ScanImpl::kPortable;
#endif
}

ScanImpl ScanBest() {
  static const ScanImpl best = ScanSupported(ScanImpl::kAvx512) ? ScanImpl::kAvx512 : ScanSupported(ScanImpl::kAvx2) ? ScanImpl::kAvx2 : ScanImpl::kPortable;
  return best;
}

size_t FirstTriple(const uint8_t* p, size_t length, ScanImpl impl) { return kTriple[int(impl)](p, length); }

uint32_t CountEqual(const uint8_t* p, size_t length, uint8_t value, ScanImpl impl) { return kCount[int(impl)](p, length, value); }

void KeepStuck(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros, ScanImpl impl) { kKeep[int(impl)](p, words, ones, zeros); }

}  // namespace qkme
