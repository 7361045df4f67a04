#include "post/amplify.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "post/amplify_kernel.h"
#include "post/error.h"
#include "post/work_memory.h"

namespace qkme::post {
namespace {

using amplify::Kernel;

/// The largest tile of the recursion; its working memory is five times as long.
constexpr size_t kKaratsubaWordsMax = size_t{1} << 15;

const Kernel& Of(AmplifyImpl impl) {
#if defined(__x86_64__)
  if (impl == AmplifyImpl::kVpclmul512) return amplify::kVpclmul512Kernel;
  if (impl == AmplifyImpl::kPclmul) return amplify::kPclmulKernel;
#endif
  return amplify::kPortableKernel;
}

struct Plan {
  size_t levels;  ///< of the transform; 0: Karatsuba's recursion
  size_t tile;    ///< words
  double us;
};

size_t Tiles(size_t words, size_t tile) { return (words + tile - 1) / tile; }

void TakeCheaper(Plan* best, const Plan& other) {
  if (other.us < best->us) *best = other;
}

// Both costs are known from those of their parts; rectangles are filled up with whole tiles.
Plan Choose(const Kernel& kernel, size_t inputs, size_t outputs, AmplifyMethod method) {
  Plan best = {0, 0, INFINITY};
  for (size_t levels = amplify::kLevelsMin; levels <= amplify::kLevelsMax && method != AmplifyMethod::kKaratsuba; ++levels) {
    const size_t tile = amplify::TileWords(levels);
    const auto chunks = static_cast<double>(Tiles(inputs, tile));
    const auto tiles = static_cast<double>(Tiles(outputs, tile));
    const double part = static_cast<double>(tile) / static_cast<double>(amplify::TileWords(amplify::kLevelsMax));
    const double transform_us = kernel.transform_us * part * static_cast<double>(levels) / amplify::kLevelsMax;
    TakeCheaper(&best, {levels, tile, (2 * chunks + 2 * tiles - 1) * transform_us + chunks * tiles * kernel.dot_us * part});
  }
  double square_us = kernel.base_us;
  for (size_t tile = kernel.base_words; tile <= kKaratsubaWordsMax && method != AmplifyMethod::kTransform; tile *= 2, square_us *= 3) {
    TakeCheaper(&best, {0, tile, static_cast<double>(Tiles(inputs, tile) * Tiles(outputs, tile)) * square_us});
  }
  return best;
}

// 64 bits of `from`, from bit `at` on; nine bytes are there.
inline uint64_t Bits64(const uint8_t* from, uint64_t at) {
  uint64_t low;
  std::memcpy(&low, from + at / 8, sizeof low);
  return low >> at % 8 | uint64_t{from[at / 8 + 8]} << 1 << (63 - at % 8);
}

// to ^= `count` bits of `from`, from bit `first` on, moved up by `up` bits. Touches one word behind the last at most.
void CopyBits(uint64_t* to, uint64_t up, const uint8_t* from, uint64_t first, uint64_t count) {
  const uint64_t bytes = (first + count + 7) / 8;
  const uint64_t whole = bytes < 9 + first / 8 ? 0 : std::min(count / 64, (bytes - 9 - first / 8) / 8 + 1);
  uint64_t* at = to + up / 64;
  for (uint64_t i = 0; i < whole; ++i, ++at) {
    const uint64_t word = Bits64(from, first + 64 * i);
    at[0] ^= word << up % 64;
    at[1] ^= word >> 1 >> (63 - up % 64);
  }
  for (uint64_t done = 64 * whole; done < count; done += 64, ++at) {
    const uint64_t place = (first + done) / 8;
    uint8_t last[9] = {};
    std::memcpy(last, from + place, std::min<uint64_t>(sizeof last, bytes - place));
    uint64_t word = Bits64(last, (first + done) % 8);
    if (count - done < 64) word &= (uint64_t{1} << (count - done)) - 1;
    at[0] ^= word << up % 64;
    at[1] ^= word >> 1 >> (63 - up % 64);
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
  Scratch<uint64_t> x(inputs + 1, Content::kZeros);
  Scratch<uint64_t> s(inputs + outputs + 1, Content::kZeros);
  Scratch<uint64_t> y(outputs + 1, Content::kZeros);
  CopyBits(x.data(), 0, input, 0, low_bits);
  CopyBits(y.data(), 0, input, low_bits, output_bits);
  // Output i is coefficient i + 64 inputs of the product: the seed moves up as far as that, and leaves bit 0 free at least.
  CopyBits(s.data(), 64 * inputs - low_bits + 1, seed, 0, input_bits - 1);
  if (plan.levels != 0) amplify::TransformProduct(kernel, y.data(), outputs, s.data(), x.data(), inputs, plan.levels);
  else amplify::KaratsubaProduct(kernel, y.data(), outputs, s.data(), x.data(), inputs, plan.tile);
  std::memcpy(output, y.data(), (output_bits + 7) / 8);
  if (output_bits % 8 != 0) output[output_bits / 8] = static_cast<uint8_t>(output[output_bits / 8] & ((1u << output_bits % 8) - 1));
}

}  // namespace qkme::post
