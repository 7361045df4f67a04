// Products and transforms with carry-less multiplication instructions. Each function carries its own target, so the
// addon is built without machine flags and chooses at run time.
#include "post/amplify_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace qkme::post::amplify {
namespace {

// clmul selectors: bit 0 picks the half of the first operand, bit 4 that of the second.
constexpr int kLowLow = 0x00;
constexpr int kHighLow = 0x01;
constexpr int kLowHigh = 0x10;
constexpr int kHighHigh = 0x11;
constexpr uint64_t kPolynomial = 0x87;

#define QKME_TARGET __attribute__((target("pclmul,sse4.1")))

QKME_TARGET inline __m128i Load128(const void* at) { return _mm_loadu_si128(static_cast<const __m128i*>(at)); }
QKME_TARGET inline void Store128(void* at, __m128i value) { _mm_storeu_si128(static_cast<__m128i*>(at), value); }

// What the words below the window's first output reach into it: the high half of the products one place lower.
QKME_TARGET uint64_t CarryIn(const uint64_t* window, const uint64_t* x, size_t words) {
  __m128i sum = _mm_setzero_si128();
  for (size_t i = 0; i < words; ++i) {
    const __m128i a = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i));
    const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(window + words - 1 - i));
    sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(a, b, kLowLow));
  }
  return static_cast<uint64_t>(_mm_extract_epi64(sum, 1));
}

// By outputs: eight words at a time stay in registers, even and odd ones apart.
constexpr size_t kWords128 = 16;
QKME_TARGET void Direct128(uint64_t* y, const uint64_t* window, const uint64_t* x) {
  uint64_t carry = CarryIn(window, x, kWords128);
  for (size_t p = 0; p < kWords128; p += 8) {
    __m128i even[4];
    __m128i odd[4];
    for (size_t k = 0; k < 4; ++k) even[k] = odd[k] = _mm_setzero_si128();
    for (size_t i = 0; i < kWords128; ++i) {
      const __m128i a = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i));
      for (size_t k = 0; k < 4; ++k) {
        const __m128i b = Load128(window + kWords128 + p - i + 2 * k);
        even[k] = _mm_xor_si128(even[k], _mm_clmulepi64_si128(a, b, kLowLow));
        odd[k] = _mm_xor_si128(odd[k], _mm_clmulepi64_si128(a, b, kLowHigh));
      }
    }
    for (size_t k = 0; k < 4; ++k) {
      y[p + 2 * k] ^= static_cast<uint64_t>(_mm_cvtsi128_si64(even[k])) ^ carry;
      y[p + 2 * k + 1] ^= static_cast<uint64_t>(_mm_extract_epi64(even[k], 1)) ^ static_cast<uint64_t>(_mm_cvtsi128_si64(odd[k]));
      carry = static_cast<uint64_t>(_mm_extract_epi64(odd[k], 1));
    }
  }
}

struct One {
  static constexpr size_t kBase = kWords128;
  QKME_TARGET static void Base(uint64_t* y, const uint64_t* window, const uint64_t* x) { Direct128(y, window, x); }

  static constexpr size_t kLanes = 1;
  using Register = __m128i;
  struct Factor { __m128i w, w64; };

  QKME_TARGET static Register Load(const Element* at) { return Load128(at); }
  QKME_TARGET static void Store(Element* at, Register value) { Store128(at, value); }
  QKME_TARGET static Register Xor(Register a, Register b) { return _mm_xor_si128(a, b); }
  template <typename F>
  QKME_TARGET static Factor Same(const F& f) { return {Load128(&f.w), Load128(&f.w64)}; }
  template <typename F>
  QKME_TARGET static Factor Each(const F* f, const F& g) { return Plus(Same(*f), Same(g)); }
  QKME_TARGET static Factor Plus(Factor a, Factor b) { return {Xor(a.w, b.w), Xor(a.w64, b.w64)}; }
  QKME_TARGET static void Transpose(Register*) {}
  // low + middle x^64, with a third word that goes back with one multiplication.
  QKME_TARGET static Register Fold(Register low, Register middle) {
    const Register top = _mm_clmulepi64_si128(middle, _mm_cvtsi32_si128(kPolynomial), kHighLow);
    return Xor(Xor(low, _mm_slli_si128(middle, 8)), top);
  }
  QKME_TARGET static Register Times(Register a, Factor f) {
    return Fold(Xor(_mm_clmulepi64_si128(a, f.w, kLowLow), _mm_clmulepi64_si128(a, f.w64, kHighLow)),
                Xor(_mm_clmulepi64_si128(a, f.w, kLowHigh), _mm_clmulepi64_si128(a, f.w64, kHighHigh)));
  }
  struct Sum {
    Register low, middle, high;
    QKME_TARGET Sum() : low(_mm_setzero_si128()), middle(low), high(low) {}
    QKME_TARGET void Add(Register a, Register b) {
      low = Xor(low, _mm_clmulepi64_si128(a, b, kLowLow));
      high = Xor(high, _mm_clmulepi64_si128(a, b, kHighHigh));
      middle = Xor(middle, Xor(_mm_clmulepi64_si128(a, b, kHighLow), _mm_clmulepi64_si128(a, b, kLowHigh)));
    }
    QKME_TARGET Register Reduce() const {
      // Words 2 and 3 of the sum: the upper one first.
      const Register upper = Xor(high, _mm_srli_si128(middle, 8));
      const Register poly = _mm_cvtsi32_si128(kPolynomial);
      const Register folded = _mm_clmulepi64_si128(upper, poly, kHighLow);
      const Register second = Xor(upper, _mm_srli_si128(folded, 8));
      return Xor(Xor(Xor(low, _mm_slli_si128(middle, 8)), _mm_slli_si128(folded, 8)), _mm_clmulepi64_si128(second, poly, kLowLow));
    }
  };
};

}  // namespace
}  // namespace qkme::post::amplify

#include "post/amplify_square.h"
#include "post/amplify_transform.h"

namespace qkme::post::amplify {
const Kernel kPclmulKernel = {"pclmulqdq", kWords128, Square<One>, Down<One, false>, Down<One, true>, UpTransposed<One>, Dot<One>, 0.2, 2'200, 370};
}  // namespace qkme::post::amplify
#endif
