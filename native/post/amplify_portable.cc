// Products and transforms with 64-bit integer multiplications only.
#include "gf128.h"
#include "post/amplify_kernel.h"

#define QKME_TARGET

namespace qkme::post::amplify {
namespace {

using gf::MultiplyPortable;
using gf::Wide;

constexpr size_t kWords = 8;
void Direct(uint64_t* y, const uint64_t* window, const uint64_t* x) {
  uint64_t sums[kWords + 1] = {};
  for (size_t i = 0; i < kWords; ++i) {
    for (size_t p = 0; p <= kWords; ++p) {
      // The product one place below the first output gives its high half only.
      const Wide product = MultiplyPortable(x[i], window[kWords - 1 + p - i]);
      if (p > 0) sums[p - 1] ^= product.low;
      sums[p] ^= product.high;
    }
  }
  for (size_t p = 0; p < kWords; ++p) y[p] ^= sums[p];
}

struct Plain {
  static constexpr size_t kBase = kWords;
  static void Base(uint64_t* y, const uint64_t* window, const uint64_t* x) { Direct(y, window, x); }

  static constexpr size_t kLanes = 1;
  using Register = Element;
  using Factor = Element;

  static Register Load(const Element* at) { return *at; }
  static void Store(Element* at, Register value) { *at = value; }
  static Register Xor(Register a, Register b) { return {a.low ^ b.low, a.high ^ b.high}; }
  template <typename F>
  static Factor Same(const F& f) { return f.w; }
  template <typename F>
  static Factor Each(const F* f, const F& g) { return Xor(f->w, g.w); }
  static Factor Plus(Factor a, Factor b) { return Xor(a, b); }
  static void Transpose(Register*) {}
  struct Sum {
    Wide low = {0, 0}, cross = {0, 0}, high = {0, 0};
    static void Into(Wide* sum, uint64_t a, uint64_t b) {
      const Wide product = MultiplyPortable(a, b);
      sum->low ^= product.low;
      sum->high ^= product.high;
    }
    void Add(Register a, Register b) {
      Into(&low, a.low, b.low);
      Into(&high, a.high, b.high);
      Into(&cross, a.low ^ a.high, b.low ^ b.high);
    }
    Register Reduce() const {
      const uint64_t w1 = low.high ^ cross.low ^ low.low ^ high.low;
      const uint64_t w2 = high.low ^ cross.high ^ low.high ^ high.high;
      const Wide top = gf::Times87(high.high);
      const Wide next = gf::Times87(w2 ^ top.high);
      return {low.low ^ next.low, w1 ^ top.low ^ next.high};
    }
  };
  static Register Times(Register a, Factor f) {
    Sum sum;
    sum.Add(a, f);
    return sum.Reduce();
  }
};

}  // namespace
}  // namespace qkme::post::amplify

#include "post/amplify_square.h"
#include "post/amplify_transform.h"

namespace qkme::post::amplify {
const Kernel kPortableKernel = {"portable", kWords, Square<Plain>, Down<Plain, false>, Down<Plain, true>, UpTransposed<Plain>, Dot<Plain>, 2.2, 53'000, 7'300};
}  // namespace qkme::post::amplify
