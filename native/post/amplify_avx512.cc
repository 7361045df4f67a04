// Products and transforms with four carry-less multiplications at once.
#include "post/amplify_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

// The zero-masked forms, because the plain ones make GCC 12 warn of uninitialised values in its own header.

namespace qkme::post::amplify {
namespace {

constexpr int kLowLow = 0x00;
constexpr int kHighLow = 0x01;
constexpr int kLowHigh = 0x10;
constexpr int kHighHigh = 0x11;

#define QKME_TARGET __attribute__((target("vpclmulqdq,pclmul,avx512f,avx512bw,avx2")))

QKME_TARGET uint64_t CarryIn(const uint64_t* window, const uint64_t* x, size_t words) {
  // Four words of x meet four of the window, which lie the other way round.
  const __m512i backwards = _mm512_set_epi64(0, 0, 0, 1, 0, 2, 0, 3);
  const __m512i apart = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < words; i += 4) {
    const __m512i a = _mm512_maskz_permutexvar_epi64(0x55, apart, _mm512_maskz_loadu_epi64(0x0F, x + i));
    const __m512i b = _mm512_maskz_permutexvar_epi64(0x55, backwards, _mm512_maskz_loadu_epi64(0x0F, window + words - 4 - i));
    sum = _mm512_xor_si512(sum, _mm512_clmulepi64_epi128(a, b, kLowLow));
  }
  alignas(64) uint64_t words8[8];
  _mm512_store_si512(words8, sum);
  return words8[1] ^ words8[3] ^ words8[5] ^ words8[7];
}

// By outputs: 32 words at a time stay in registers, even and odd ones apart.
constexpr size_t kWords512 = 32;
QKME_TARGET void Direct512(uint64_t* y, const uint64_t* window, const uint64_t* x) {
  uint64_t carry = CarryIn(window, x, kWords512);
  const __m512i up = _mm512_set_epi64(6, 5, 4, 3, 2, 1, 0, 7);
  __m512i even[4];
  __m512i odd[4];
  for (size_t k = 0; k < 4; ++k) even[k] = odd[k] = _mm512_setzero_si512();
  for (size_t i = 0; i < kWords512; ++i) {
    const __m512i a = _mm512_set1_epi64(static_cast<int64_t>(x[i]));
    for (size_t k = 0; k < 4; ++k) {
      const __m512i b = _mm512_loadu_si512(window + kWords512 - i + 8 * k);
      even[k] = _mm512_xor_si512(even[k], _mm512_clmulepi64_epi128(a, b, kLowLow));
      odd[k] = _mm512_xor_si512(odd[k], _mm512_clmulepi64_epi128(a, b, kLowHigh));
    }
  }
  for (size_t k = 0; k < 4; ++k) {
    __m512i moved = _mm512_maskz_permutexvar_epi64(0xFF, up, odd[k]);
    const auto next = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm512_maskz_extracti32x4_epi32(0x0F, moved, 0)));
    moved = _mm512_mask_set1_epi64(moved, 1, static_cast<int64_t>(carry));
    carry = next;
    const __m512i sum = _mm512_xor_si512(_mm512_loadu_si512(y + 8 * k), _mm512_xor_si512(even[k], moved));
    _mm512_storeu_si512(y + 8 * k, sum);
  }
}

struct Four {
  static constexpr size_t kBase = kWords512;
  QKME_TARGET static void Base(uint64_t* y, const uint64_t* window, const uint64_t* x) { Direct512(y, window, x); }

  static constexpr size_t kLanes = 4;
  using Register = __m512i;
  struct Factor { __m512i w, w64; };

  QKME_TARGET static Register Load(const Element* at) { return _mm512_load_si512(at); }
  QKME_TARGET static void Store(Element* at, Register value) { _mm512_store_si512(at, value); }
  QKME_TARGET static Register Xor(Register a, Register b) { return _mm512_xor_si512(a, b); }
  QKME_TARGET static Register Spread(const Element& element) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_load_si128(reinterpret_cast<const __m128i*>(&element)));
  }
  QKME_TARGET static Register Polynomial() { return _mm512_set_epi64(0, 0x87, 0, 0x87, 0, 0x87, 0, 0x87); }
  QKME_TARGET static Register Up(Register a) { return _mm512_bslli_epi128(a, 8); }
  QKME_TARGET static Register Down(Register a) { return _mm512_bsrli_epi128(a, 8); }
  template <typename F>
  QKME_TARGET static Factor Same(const F& f) { return {Spread(f.w), Spread(f.w64)}; }
  // Four factors lie as w, w64, w, w64, …
  template <typename F>
  QKME_TARGET static Factor Each(const F* f, const F& g) {
    const Register first = _mm512_loadu_si512(f), second = _mm512_loadu_si512(f + 2);
    return Plus({_mm512_maskz_shuffle_i64x2(0xFF, first, second, 0x88), _mm512_maskz_shuffle_i64x2(0xFF, first, second, 0xDD)}, Same(g));
  }
  QKME_TARGET static Factor Plus(Factor a, Factor b) { return {Xor(a.w, b.w), Xor(a.w64, b.w64)}; }
  QKME_TARGET static void Transpose(Register* e) {
    const Register a = _mm512_maskz_shuffle_i64x2(0xFF, e[0], e[1], 0x88), b = _mm512_maskz_shuffle_i64x2(0xFF, e[2], e[3], 0x88);
    const Register c = _mm512_maskz_shuffle_i64x2(0xFF, e[0], e[1], 0xDD), d = _mm512_maskz_shuffle_i64x2(0xFF, e[2], e[3], 0xDD);
    e[0] = _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x88);
    e[1] = _mm512_maskz_shuffle_i64x2(0xFF, c, d, 0x88);
    e[2] = _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xDD);
    e[3] = _mm512_maskz_shuffle_i64x2(0xFF, c, d, 0xDD);
  }
  // low + middle x^64, with a third word that goes back with one multiplication.
  QKME_TARGET static Register Fold(Register low, Register middle) {
    return Xor(Xor(low, Up(middle)), _mm512_clmulepi64_epi128(middle, Polynomial(), kHighLow));
  }
  QKME_TARGET static Register Times(Register a, Factor f) {
    return Fold(Xor(_mm512_clmulepi64_epi128(a, f.w, kLowLow), _mm512_clmulepi64_epi128(a, f.w64, kHighLow)),
                Xor(_mm512_clmulepi64_epi128(a, f.w, kLowHigh), _mm512_clmulepi64_epi128(a, f.w64, kHighHigh)));
  }
  struct Sum {
    Register low, middle, high;
    QKME_TARGET Sum() : low(_mm512_setzero_si512()), middle(low), high(low) {}
    QKME_TARGET void Add(Register a, Register b) {
      low = Xor(low, _mm512_clmulepi64_epi128(a, b, kLowLow));
      high = Xor(high, _mm512_clmulepi64_epi128(a, b, kHighHigh));
      middle = Xor(middle, Xor(_mm512_clmulepi64_epi128(a, b, kHighLow), _mm512_clmulepi64_epi128(a, b, kLowHigh)));
    }
    QKME_TARGET Register Reduce() const {
      const Register upper = Xor(high, Down(middle));
      const Register folded = _mm512_clmulepi64_epi128(upper, Polynomial(), kHighLow);
      const Register second = Xor(upper, Down(folded));
      return Xor(Xor(Xor(low, Up(middle)), Up(folded)), _mm512_clmulepi64_epi128(second, Polynomial(), kLowLow));
    }
  };
};

}  // namespace
}  // namespace qkme::post::amplify

#include "post/amplify_square.h"
#include "post/amplify_transform.h"

namespace qkme::post::amplify {
const Kernel kVpclmul512Kernel = {"vpclmulqdq-avx512", kWords512, Square<Four>, Down<Four, false>, Down<Four, true>, UpTransposed<Four>, Dot<Four>, 0.2, 950, 150};
}  // namespace qkme::post::amplify
#endif
