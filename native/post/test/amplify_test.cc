// Privacy amplification in all its ways against a definition bit by bit.
#include "post/amplify.h"

#include <random>
#include <string>
#include <vector>

#include "test/check.h"
#include "post/amplify_basis.h"

namespace {

using Bytes = std::vector<uint8_t>;
using namespace qkme::post;

bool Bit(const Bytes& bytes, uint64_t i) { return bytes[i / 8] >> (i % 8) & 1; }

Bytes Naive(const Bytes& x, uint64_t n, const Bytes& s, uint64_t m) {
  Bytes y((m + 7) / 8, 0);
  for (uint64_t i = 0; i < m; ++i) {
    bool bit = Bit(x, n - m + i);
    for (uint64_t j = 0; j < n - m; ++j) bit ^= Bit(s, i + n - m - 1 - j) && Bit(x, j);
    y[i / 8] = static_cast<uint8_t>(y[i / 8] | bit << i % 8);
  }
  return y;
}

Bytes RandomBytes(std::mt19937_64& random, uint64_t bits) {
  Bytes bytes((bits + 7) / 8);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

Bytes Hash(const Bytes& x, uint64_t n, const Bytes& s, uint64_t m, AmplifyImpl impl, AmplifyMethod method = AmplifyMethod::kChoose) {
  Bytes y((m + 7) / 8, 0xEE);
  Amplify(x.data(), n, s.data(), y.data(), m, impl, method);
  return y;
}

Bytes FromHex(const std::string& text) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

template <typename Body>
void EachImpl(Body body) {
  for (int i = 0; i < kAmplifyImpls; ++i) {
    if (AmplifySupported(static_cast<AmplifyImpl>(i))) body(static_cast<AmplifyImpl>(i));
  }
}

}  // namespace

TEST("a Toeplitz hash has the published vectors: the identity's part is zero then") {
  EachImpl([](AmplifyImpl impl) {
    Bytes x = FromHex("93fb00");  // 16 bits and 8 zeros
    CHECK(Hash(x, 24, FromHex("2b8c70"), 8, impl) == FromHex("e5"));
    x = FromHex("93fbe9407f0665815d6058e533cfff7197b2c4abf2b4b2ba07182b3b160af933");
    x.resize(48, 0);
    const Bytes s = FromHex("2b8cf0c6a08633a469295d48bd5daa7659a7813e2ab681dd10e397ad25edfd3a72b93fc6e6eda3506de4fed5e6a52e55");
    CHECK(Hash(x, 384, s, 128, impl) == FromHex("8b68d4c407b50ba537c9a741d5d655ec"));
  });
}

TEST("every way gives the bits of the definition, whatever the lengths") {
  std::mt19937_64 random(20250301);
  for (const auto& [n, m] : std::vector<std::pair<uint64_t, uint64_t>>{
           {2, 1}, {3, 1}, {3, 2}, {64, 32}, {65, 64}, {128, 64}, {129, 1}, {130, 129}, {200, 77}, {1000, 999}, {1024, 512}, {2048, 1024},
           {2049, 1023}, {4096, 2048}, {5000, 1700}, {9001, 4500}, {12345, 300}, {12345, 12000}, {16384, 8192}}) {
    const Bytes x = RandomBytes(random, n), s = RandomBytes(random, n - 1);
    const Bytes expected = Naive(x, n, s, m);
    EachImpl([&, n = n, m = m](AmplifyImpl impl) { CHECK(Hash(x, n, s, m, impl) == expected); });
  }
}

TEST("the transform gives the bits of the definition") {
  std::mt19937_64 random(4);
  const uint64_t n = 30'000, m = 11'111;
  const Bytes x = RandomBytes(random, n), s = RandomBytes(random, n - 1);
  const Bytes expected = Naive(x, n, s, m);
  EachImpl([&](AmplifyImpl impl) { CHECK(Hash(x, n, s, m, impl, AmplifyMethod::kTransform) == expected); });
}

TEST("the transform of each size gives the words of the recursion, over tiles side by side and one above the other") {
  std::mt19937_64 random(5);
  const amplify::Kernel* const kernels[] = {&amplify::kPortableKernel,
#if defined(__x86_64__)
                                            AmplifySupported(AmplifyImpl::kPclmul) ? &amplify::kPclmulKernel : nullptr,
                                            AmplifySupported(AmplifyImpl::kVpclmul512) ? &amplify::kVpclmul512Kernel : nullptr,
#endif
  };
  const amplify::Kernel* fastest = nullptr;
  for (const amplify::Kernel* kernel : kernels) fastest = kernel != nullptr ? kernel : fastest;
  for (size_t levels = amplify::kLevelsMin; levels <= amplify::kLevelsMax; ++levels) {
    for (const auto& [wide, high] : std::vector<std::pair<size_t, size_t>>{{1, 1}, {2, 1}, {1, 2}, {3, 2}}) {
      const size_t tile = amplify::TileWords(levels), inputs = wide * tile, outputs = high * tile;
      if (wide * high > 1 && levels > amplify::kLevelsMin + 1) continue;
      // Ones everywhere as well: each carry and the outermost coefficients count.
      for (const bool ones : {false, true}) {
        std::vector<uint64_t> x(inputs), seed(inputs + outputs), expected(outputs);
        for (uint64_t& word : x) word = ones ? ~uint64_t{0} : random();
        for (uint64_t& word : seed) word = ones ? ~uint64_t{0} : random();
        for (uint64_t& word : expected) word = random();
        const std::vector<uint64_t> before = expected;
        amplify::KaratsubaProduct(*fastest, expected.data(), outputs, seed.data(), x.data(), inputs, tile);
        for (const amplify::Kernel* kernel : kernels) {
          if (kernel == nullptr || (kernel == kernels[0] && (levels > amplify::kLevelsMin || wide > 1))) continue;
          std::vector<uint64_t> y = before;
          amplify::TransformProduct(*kernel, y.data(), outputs, seed.data(), x.data(), inputs, levels);
          CHECK(y == expected);
        }
      }
    }
  }
}

TEST("over several tiles, transform and recursion agree in each output bit") {
  std::mt19937_64 random(5);
  for (const auto& [n, m] : std::vector<std::pair<uint64_t, uint64_t>>{{9'000'001, 3'500'000}, {7'000'000, 5'000'003}}) {
    const Bytes x = RandomBytes(random, n), s = RandomBytes(random, n - 1);
    const AmplifyImpl best = AmplifyBest();
    const Bytes expected = Hash(x, n, s, m, best, AmplifyMethod::kKaratsuba);
    EachImpl([&, n = n, m = m](AmplifyImpl impl) {
      if (impl != AmplifyImpl::kPortable || best == impl) CHECK(Hash(x, n, s, m, impl, AmplifyMethod::kTransform) == expected);
    });
  }
}

TEST("ones everywhere: each carry counts") {
  const uint64_t n = 4'194'304 * 2, m = n / 2;
  Bytes x(n / 8, 0xFF), s(n / 8, 0xFF);
  // Output i is 1 plus the sum of n - m ones, an even number of them.
  const Bytes y = Hash(x, n, s, m, AmplifyBest(), AmplifyMethod::kTransform);
  CHECK(y == Bytes(m / 8, 0xFF));
}

TEST("bits beyond the lengths do not count, and those of the output are zero") {
  std::mt19937_64 random(6);
  Bytes x = RandomBytes(random, 1001), s = RandomBytes(random, 1000);
  s.push_back(0);
  EachImpl([&](AmplifyImpl impl) {
    const Bytes before = Hash(x, 1001, s, 501, impl);
    Bytes x2 = x, s2 = s;
    x2.back() ^= 0xFE;
    s2.back() ^= 0xFF;
    CHECK(Hash(x2, 1001, s2, 501, impl) == before);
    CHECK(before.back() < 1 << 501 % 8);
  });
}

TEST("lengths that make no sense are refused") {
  const Bytes x(16, 1), s(16, 1);
  THROWS(Hash(x, 128, s, 128, AmplifyImpl::kPortable), "fewer than it takes");
  THROWS(Hash(x, 128, s, 0, AmplifyImpl::kPortable), "at least one bit");
  THROWS(Hash(x, kAmplifyBitsMax + 1, s, 1, AmplifyImpl::kPortable), "at most 2^28");
}

TEST("the basis of the points is Cantor's") {
  // beta_1 solves z^2 + z = 1: it lies in GF(4), so that its cube is 1.
  const amplify::Element w = amplify::TheFactors().one.w;
  amplify::Element product = {0, 0}, power = w;
  for (int i = 0; i < 128; ++i) {
    const uint64_t mask = 0 - ((i < 64 ? w.low >> i : w.high >> (i - 64)) & 1);
    product = {product.low ^ (power.low & mask), product.high ^ (power.high & mask)};
    power = {power.low << 1 ^ (power.high >> 63) * 0x87, power.high << 1 | power.low >> 63};
  }
  CHECK((product.low ^ w.low) == 1 && (product.high ^ w.high) == 0);
}

TEST_MAIN()
