// Random permutations that both parties compute from one public seed. They spread errors evenly and decide which
// bits a parity covers; they hide nothing, so the generator is chosen for speed: xoshiro256** 1.0 (Blackman and
// Vigna, ACM TOMS 47, 36, 2021), its state filled from the seed and a stream number by SplitMix64.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qkme::post {

inline constexpr size_t kSeedBytes = 32;
using Seed = std::array<uint8_t, kSeedBytes>;

/// Uniform numbers, the same for the same seed and stream on every machine.
class SharedRandom {
 public:
  SharedRandom(const Seed& seed, uint64_t stream);
  uint64_t Next();
  /// Uniform in [0, bound), without bias (Lemire, ACM TOMACS 29, 3, 2019). `bound` is at least 1.
  uint32_t Below(uint32_t bound);

 private:
  uint64_t state_[4];
};

/// A uniform permutation of 0 .. length-1 (Fisher, Yates; Durstenfeld): place i of the shuffled order holds `result[i]`.
std::vector<uint32_t> MakePermutation(const Seed& seed, uint64_t stream, uint32_t length);

/// Streams of one seed.
inline constexpr uint64_t kStreamBlock = 1ull << 32;    ///< the whole block, before it is cut into frames
inline constexpr uint64_t kStreamPass = 2ull << 32;     ///< + number of the pass of Cascade
inline constexpr uint64_t kStreamCheck = 3ull << 32;    ///< key of the checks of frames

/// Bit i of `out` is bit p(i) of `in`, packed least significant first. Both have (length + 7) / 8 bytes; unused bits
/// of `out` become 0. `back`: the inverse.
void ShuffleBits(const Seed& seed, std::span<const uint8_t> in, uint32_t length, bool back, std::span<uint8_t> out);

}  // namespace qkme::post
