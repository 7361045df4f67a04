// The Toeplitz product of many words, by Karatsuba's recursion and by the transform.
#include <algorithm>
#include <vector>

#include "post/amplify_basis.h"

namespace qkme::post::amplify {
namespace {

// The one coefficient that wraps into the first output: the high word of a b.
uint64_t HighWord(uint64_t a, uint64_t b) {
  uint64_t high = 0;
  for (int i = 1; i < 64; ++i) high ^= (0 - (b >> i & 1)) & a >> (64 - i);
  return high;
}

}  // namespace

void KaratsubaProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t tile) {
  Scratch<uint64_t> work(kSquareWork * tile);
  for (size_t a = 0; a < outputs; a += tile) {
    for (size_t c = 0; c < inputs; c += tile) kernel.square(y + a, seed + inputs + a - c - tile, x + c, tile, work.data());
  }
}

// Coefficient q of the product of 128-bit numbers x_i and w_j, of one word each, is the sum of x_i w_(q-i); output p
// is the low word of coefficient kTileWords + p and the high word of the one before. Coefficients from kPoints on wrap
// to q - kPoints + 1 < kTileWords - 1, all but the last one, which is taken back.
void TransformProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs) {
  const size_t chunks = inputs / kTileWords;
  const size_t tiles = outputs / kTileWords;
  Scratch<Element> inputs_at(chunks * kPoints);
  Scratch<Element> windows_at(chunks * kPoints);  // the last `chunks` windows, in a ring
  Scratch<Element> product(kPoints);
  Scratch<uint64_t> words(kPoints);
  const auto transform = [&](Element* to, const uint64_t* from, size_t count) {
    std::copy(from, from + count, words.data());
    std::fill(words.data() + count, words.data() + kPoints, 0);
    ToBasis(words.data());
    for (size_t i = 0; i < kPoints; ++i) to[i] = {words[i], 0};
    kernel.forward(to);
  };
  // Window k begins at word k kTileWords of the seed; chunk c of tile a meets window a + chunks - 1 - c.
  const auto window = [&](size_t k) { return windows_at.data() + k % chunks * kPoints; };
  for (size_t c = 0; c < chunks; ++c) transform(inputs_at.data() + c * kPoints, x + c * kTileWords, kTileWords);
  for (size_t k = 0; k + 1 < chunks; ++k) transform(window(k), seed + k * kTileWords, kPoints);
  std::vector<const Element*> left(chunks);
  std::vector<const Element*> right(chunks);
  for (size_t a = 0; a < tiles; ++a) {
    transform(window(a + chunks - 1), seed + (a + chunks - 1) * kTileWords, kPoints);
    uint64_t wrapped = 0;
    for (size_t c = 0; c < chunks; ++c) {
      left[c] = inputs_at.data() + c * kPoints;
      right[c] = window(a + chunks - 1 - c);
      wrapped ^= HighWord(x[(c + 1) * kTileWords - 1], seed[(a + chunks - 1 - c) * kTileWords + kPoints - 1]);
    }
    kernel.dot(product.data(), left.data(), right.data(), chunks);
    kernel.inverse(product.data());
    FromBasis(product.data());
    uint64_t* const out = y + a * kTileWords;
    for (size_t p = 0; p < kTileWords; ++p) out[p] ^= product[kTileWords + p].low ^ product[kTileWords + p - 1].high;
    out[0] ^= wrapped;
  }
}

}  // namespace qkme::post::amplify
