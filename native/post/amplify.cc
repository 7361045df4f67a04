#include "post/amplify.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "post/amplify_kernel.h"
#include "post/error.h"

namespace qkme::post {
namespace {

using amplify::Kernel;
using amplify::kTileWords;
using amplify::Scratch;

const Kernel& Of(AmplifyImpl impl) {
#if defined(__x86_64__)
  if (impl == AmplifyImpl::kVpclmul512) return amplify::kVpclmul512Kernel;
  if (impl == AmplifyImpl::kPclmul) return amplify::kPclmulKernel;
#endif
  return amplify::kPortableKernel;
}

struct Plan {
  bool transform;
  size_t tile;  ///< words
  double us;
};

size_t Tiles(size_t words, size_t tile) { return (words + tile - 1) / tile; }

// Karatsuba's cost is known from that of its base; rectangles are filled up with whole tiles.
Plan Choose(const Kernel& kernel, size_t inputs, size_t outputs, AmplifyMethod method) {
  Plan best = {true, kTileWords, INFINITY};
  if (method != AmplifyMethod::kKaratsuba) {
    const auto chunks = static_cast<double>(Tiles(inputs, kTileWords));
    const auto tiles = static_cast<double>(Tiles(outputs, kTileWords));
    best.us = (2 * chunks + 2 * tiles - 1) * kernel.transform_us + chunks * tiles * kernel.dot_us;
  }
  if (method == AmplifyMethod::kTransform) return best;
  double square_us = kernel.base_us;
  for (size_t tile = kernel.base_words; tile <= kTileWords; tile *= 2, square_us *= 3) {
    const double us = static_cast<double>(Tiles(inputs, tile) * Tiles(outputs, tile)) * square_us;
    if (us < best.us) best = {false, tile, us};
  }
  return best;
}

// to ^= `count` bits of `from`, from bit `first` on, moved up by `up` bits.
void CopyBits(uint64_t* to, uint64_t up, const uint8_t* from, uint64_t first, uint64_t count) {
  const uint64_t bytes = (first + count + 7) / 8;
  for (uint64_t done = 0; done < count; done += 64) {
    const uint64_t at = first + done;
    uint64_t low = 0;
    std::memcpy(&low, from + at / 8, std::min<uint64_t>(8, bytes - at / 8));
    uint64_t word = low >> at % 8;
    if (at % 8 != 0 && at / 8 + 8 < bytes) word |= static_cast<uint64_t>(from[at / 8 + 8]) << (64 - at % 8);
    if (count - done < 64) word &= (uint64_t{1} << (count - done)) - 1;
    const uint64_t place = up + done;
    to[place / 64] ^= word << place % 64;
    if (place % 64 != 0 && word >> (64 - place % 64) != 0) to[place / 64 + 1] ^= word >> (64 - place % 64);
  }
}

}  // namespace

bool AmplifySupported(AmplifyImpl impl) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool pclmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  switch (impl) {
    case AmplifyImpl::kPortable: return true;
    case AmplifyImpl::kPclmul: return pclmul;
    case AmplifyImpl::kVpclmul512:
      return pclmul && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx2");
  }
  return false;
#else
  return impl == AmplifyImpl::kPortable;
#endif
}

AmplifyImpl AmplifyBest() {
  static const AmplifyImpl best = [] {
    for (int i = kAmplifyImpls - 1; i > 0; --i) {
      if (AmplifySupported(static_cast<AmplifyImpl>(i))) return static_cast<AmplifyImpl>(i);
    }
    return AmplifyImpl::kPortable;
  }();
  return best;
}

const char* AmplifyName(AmplifyImpl impl) { return Of(impl).name; }

void Amplify(const uint8_t* input, uint64_t input_bits, const uint8_t* seed, uint8_t* output, uint64_t output_bits,
             AmplifyImpl impl, AmplifyMethod method) {
  Require(AmplifySupported(impl), "this processor has the instructions of privacy amplification");
  Require(input_bits <= kAmplifyBitsMax, "an input of privacy amplification has at most 2^28 bits");
  Require(output_bits > 0 && output_bits < input_bits, "privacy amplification gives at least one bit and fewer than it takes");
  const Kernel& kernel = Of(impl);
  const uint64_t low_bits = input_bits - output_bits;
  const Plan plan = Choose(kernel, (low_bits + 63) / 64, (output_bits + 63) / 64, method);
  const size_t inputs = Tiles((low_bits + 63) / 64, plan.tile) * plan.tile;
  const size_t outputs = Tiles((output_bits + 63) / 64, plan.tile) * plan.tile;
  Scratch<uint64_t> x(inputs + 1);
  Scratch<uint64_t> s(inputs + outputs + 1);
  Scratch<uint64_t> y(outputs + 1);
  CopyBits(x.data(), 0, input, 0, low_bits);
  CopyBits(y.data(), 0, input, low_bits, output_bits);
  // Output i is coefficient i + 64 inputs of the product: the seed moves up as far as that, and leaves bit 0 free at least.
  CopyBits(s.data(), 64 * inputs - low_bits + 1, seed, 0, input_bits - 1);
  if (plan.transform) amplify::TransformProduct(kernel, y.data(), outputs, s.data(), x.data(), inputs);
  else amplify::KaratsubaProduct(kernel, y.data(), outputs, s.data(), x.data(), inputs, plan.tile);
  std::memcpy(output, y.data(), (output_bits + 7) / 8);
  if (output_bits % 8 != 0) output[output_bits / 8] = static_cast<uint8_t>(output[output_bits / 8] & ((1u << output_bits % 8) - 1));
}

}  // namespace qkme::post
