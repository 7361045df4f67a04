#include "post/shuffle.h"

#include <cstring>

#include "post/error.h"

namespace qkme::post {
namespace {

uint64_t SplitMix(uint64_t& state) {
  state += 0x9e3779b97f4a7c15ull;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

uint64_t RotateLeft(uint64_t x, int k) { return x << k | x >> (64 - k); }

bool BitAt(std::span<const uint8_t> bits, uint32_t i) { return bits[i >> 3] >> (i & 7) & 1; }

}  // namespace

SharedRandom::SharedRandom(const Seed& seed, uint64_t stream) {
  uint64_t words[4];
  std::memcpy(words, seed.data(), kSeedBytes);
  uint64_t mixer = stream;
  for (int i = 0; i < 4; ++i) {
    mixer ^= words[i];
    state_[i] = SplitMix(mixer);
  }
  // The one state that never changes.
  if ((state_[0] | state_[1] | state_[2] | state_[3]) == 0) state_[0] = 1;
}

uint64_t SharedRandom::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

uint32_t SharedRandom::Below(uint32_t bound) {
  uint64_t product = (Next() >> 32) * bound;
  if (static_cast<uint32_t>(product) < bound) {
    const uint32_t threshold = -bound % bound;
    while (static_cast<uint32_t>(product) < threshold) product = (Next() >> 32) * bound;
  }
  return static_cast<uint32_t>(product >> 32);
}

std::vector<uint32_t> MakePermutation(const Seed& seed, uint64_t stream, uint32_t length) {
  SharedRandom random(seed, stream);
  std::vector<uint32_t> places(length);
  // Inside-out: place i gets a random earlier one, which moves to i.
  for (uint32_t i = 0; i < length; ++i) {
    const uint32_t j = random.Below(i + 1);
    places[i] = places[j];
    places[j] = i;
  }
  return places;
}

void ShuffleBits(const Seed& seed, std::span<const uint8_t> in, uint32_t length, bool back, std::span<uint8_t> out) {
  Require(in.size() == (static_cast<size_t>(length) + 7) / 8 && out.size() == in.size(), "packed bits have (length + 7) / 8 bytes");
  Require(in.empty() || in.data() + in.size() <= out.data() || out.data() + out.size() <= in.data(), "shuffled bits go to another buffer");
  if (length == 0) return;
  const std::vector<uint32_t> places = MakePermutation(seed, kStreamBlock, length);
  std::memset(out.data(), 0, out.size());
  if (back) {
    for (uint32_t i = 0; i < length; ++i) out[places[i] >> 3] |= static_cast<uint8_t>(BitAt(in, i) << (places[i] & 7));
    return;
  }
  for (uint32_t i = 0; i < length; ++i) out[i >> 3] |= static_cast<uint8_t>(BitAt(in, places[i]) << (i & 7));
}

}  // namespace qkme::post
