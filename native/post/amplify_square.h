// Karatsuba's recursion round a kernel's direct product. QKME_TARGET is the instruction set of the including file, so that the
// sums are made with it too.
#pragma once

#include "post/amplify_kernel.h"

namespace qkme::post::amplify {

// y ^= T x with T split in four: the two halves of x and the three overlapping parts W0, W1, W2 of the window give
//   y0 = T(W1)(x0 + x1) + T(W0 + W1) x1,  y1 = T(W1)(x0 + x1) + T(W1 + W2) x0,
// where each W is itself a window (Karatsuba's trick for Toeplitz matrices: Winograd, Arithmetic Complexity, 1980).
template <typename V>
QKME_TARGET void Square(uint64_t* __restrict y, const uint64_t* __restrict window, const uint64_t* __restrict x, size_t count, uint64_t* __restrict work) {
  if (count == V::kBase) { V::Base(y, window, x); return; }
  const size_t half = count / 2;
  uint64_t* __restrict const sums = work;
  uint64_t* __restrict const folded = work + 3 * half;
  uint64_t* __restrict const shared = work + 4 * half;
  uint64_t* const rest = work + 5 * half;
  for (size_t j = 0; j < half; ++j) folded[j] = x[j] ^ x[j + half];
  for (size_t j = 0; j < half; ++j) shared[j] = 0;
  Square<V>(shared, window + half, folded, half, rest);
  for (size_t j = 0; j < half; ++j) {
    y[j] ^= shared[j];
    y[j + half] ^= shared[j];
  }
  for (size_t j = 0; j < 3 * half; ++j) sums[j] = window[j] ^ window[j + half];
  Square<V>(y, sums, x + half, half, rest);
  Square<V>(y + half, sums + half, x, half, rest);
}

}  // namespace qkme::post::amplify
