// Pads in all their implementations against single bytes, at all alignments and ends of vectors.
#include "xor_bytes.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

int main() {
  std::mt19937_64 random(7);
  using Bytes = std::vector<uint8_t>;
  const auto bytes = [&random](size_t length) {
    Bytes made(length);
    for (uint8_t& byte : made) byte = static_cast<uint8_t>(random());
    return made;
  };
  int checks = 0;
  for (int i = 0; i < qkme::kXorImpls; ++i) {
    const auto impl = static_cast<qkme::XorImpl>(i);
    if (!qkme::XorSupported(impl)) continue;
    for (size_t length = 0; length <= 300; length += 1 + random() % 5) {
      const size_t at = random() % 65;
      const Bytes before = bytes(at + length + 9), removed = bytes(length), added = bytes(length);
      Bytes one = before, two = before;
      qkme::XorPad(one.data() + at, removed.data(), length, impl);
      qkme::XorPads(two.data() + at, removed.data(), added.data(), length, impl);
      for (size_t k = 0; k < before.size(); ++k) {
        const bool in = k >= at && k < at + length;
        const uint8_t r = in ? removed[k - at] : 0, a = in ? added[k - at] : 0;
        if (one[k] != (before[k] ^ r) || two[k] != (before[k] ^ r ^ a)) {
          std::fprintf(stderr, "xor_bytes_test: implementation %d, length %zu, byte %zu differs\n", i, length, k);
          return 1;
        }
      }
      checks += 2;
    }
  }
  std::printf("%d passed, 0 failed\n", checks);
}
