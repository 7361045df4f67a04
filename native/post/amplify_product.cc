// The Toeplitz product of many words, by Karatsuba's recursion and by the transform.
#include <algorithm>
#include <vector>

#include "post/amplify_basis.h"
#include "post/work_memory.h"

namespace qkme::post::amplify {

void KaratsubaProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t tile) {
  Scratch<uint64_t> work(kSquareWork * tile, Content::kAnything);
  for (size_t a = 0; a < outputs; a += tile) {
    for (size_t c = 0; c < inputs; c += tile) kernel.square(y + a, seed + inputs + a - c - tile, x + c, tile, work.data());
  }
}

// With n words of x as coefficients, the last one first, multiplication by them takes n + 1 coefficients to 2 n, which is what 2 n
// points hold: change of basis, values, point by point, and all the way back. The transposed of that map, the same steps the
// other way round, takes the 2 n words w_i of a window to n + 1 sums Y_j = sum of x_c w_(j + n - 1 - c), which is coefficient j + n - 1 of
// the product (the transposition principle: Bordewijk 1956; middle products: Hanrot, Quercia and Zimmermann, AAECC 14, 415 (2004)).
// Each has 128 bits: output p is the low word of Y_(p+1) and the high word of Y_p.
void TransformProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t levels) {
  const size_t points = Points(levels);
  const size_t tile = TileWords(levels);
  const size_t chunks = inputs / tile;
  Scratch<Element> inputs_at(chunks * points, Content::kAnything);
  Scratch<Element> windows_at(chunks * points, Content::kAnything);  // the last `chunks` windows, in a ring
  Scratch<Element> product(points, Content::kAnything);
  Scratch<uint64_t> words(points, Content::kAnything);
  const auto widen = [&](Element* to) {
    for (size_t i = 0; i < points; ++i) to[i] = {words[i], 0};
  };
  for (size_t c = 0; c < chunks; ++c) {
    Element* const to = inputs_at.data() + c * points;
    std::reverse_copy(x + c * tile, x + (c + 1) * tile, words.data());
    std::fill(words.data() + tile, words.data() + points, 0);
    ToBasis(words.data(), levels);
    widen(to);
    kernel.values(to, levels);
  }
  // Window k begins at word k tiles of the seed; chunk c of tile a meets window a + chunks - 1 - c.
  const auto window = [&](size_t k) { return windows_at.data() + k % chunks * points; };
  const auto transform_window = [&](size_t k) {
    std::copy(seed + k * tile, seed + k * tile + points, words.data());
    FromBasisTransposed(words.data(), levels);
    widen(window(k));
    kernel.inverse_transposed(window(k), levels);
  };
  for (size_t k = 0; k + 1 < chunks; ++k) transform_window(k);
  std::vector<const Element*> left(chunks);
  std::vector<const Element*> right(chunks);
  for (size_t a = 0; a < outputs / tile; ++a) {
    transform_window(a + chunks - 1);
    for (size_t c = 0; c < chunks; ++c) {
      left[c] = inputs_at.data() + c * points;
      right[c] = window(a + chunks - 1 - c);
    }
    kernel.dot(product.data(), left.data(), right.data(), chunks, levels);
    kernel.values_transposed(product.data(), levels);
    ToBasisTransposed(product.data(), levels);
    uint64_t* const out = y + a * tile;
    for (size_t p = 0; p < tile; ++p) out[p] ^= product[p + 1].low ^ product[p].high;
  }
}

}  // namespace qkme::post::amplify
