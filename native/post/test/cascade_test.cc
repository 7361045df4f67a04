// Cascade between two parties: it corrects, it counts what it sends, and it refuses what is no message of the other side.
#include "post/cascade.h"

#include <cmath>
#include <random>

#include "test/check.h"

namespace {

using namespace qkme::post;
using Bytes = std::vector<uint8_t>;

struct Pair { Bytes alice, bob; uint64_t errors; };

Pair MakePair(uint32_t bits, double error_rate, uint64_t seed) {
  std::mt19937_64 random(seed);
  Pair pair{Bytes((bits + 7) / 8), {}, 0};
  for (uint8_t& byte : pair.alice) byte = static_cast<uint8_t>(random());
  if (bits % 8 != 0) pair.alice.back() &= static_cast<uint8_t>((1 << bits % 8) - 1);
  pair.bob = pair.alice;
  std::bernoulli_distribution wrong(error_rate);
  for (uint32_t i = 0; i < bits; ++i) {
    if (!wrong(random)) continue;
    pair.bob[i / 8] ^= static_cast<uint8_t>(1 << i % 8);
    ++pair.errors;
  }
  return pair;
}

CascadeOptions Options(CascadeVariant variant, uint32_t bits, uint32_t frame_bits, uint32_t error_ppm) {
  CascadeOptions options{variant, bits, frame_bits, error_ppm, {}};
  for (size_t i = 0; i < options.seed.size(); ++i) options.seed[i] = static_cast<uint8_t>(3 * i + 1);
  return options;
}

Bytes Copy(std::span<const uint8_t> message) { return {message.begin(), message.end()}; }

/// Runs to the end; returns the bits that Alice really sent, headers left out.
uint64_t Run(Cascade& alice, Cascade& bob) {
  uint64_t sent = 0;
  while (!alice.done()) {
    const Bytes from_alice = Copy(alice.Message()), from_bob = Copy(bob.Message());
    uint32_t count = 0;
    std::memcpy(&count, from_alice.data() + 4, 4);
    sent += count;
    alice.Receive(from_bob);
    bob.Receive(from_alice);
  }
  return sent;
}

TEST("every variant corrects every error and counts what it sends") {
  for (int variant = 0; variant < kCascadeVariants; ++variant) {
    for (const uint32_t bits : {20'000u, 131'071u}) {
      Pair pair = MakePair(bits, 0.03, bits + static_cast<uint32_t>(variant));
      const CascadeOptions options = Options(static_cast<CascadeVariant>(variant), bits, 10'000, 30'000);
      Cascade alice(options, pair.alice), bob(options, pair.bob);
      const uint64_t sent = Run(alice, bob);
      CHECK(bob.done() && bob.given_up() == 0);
      CHECK(alice.leaked_bits() == sent && bob.leaked_bits() == sent);
      CHECK(bob.corrected() == pair.errors && alice.corrected() == pair.errors);
      bob.Correct(pair.bob);
      CHECK(pair.bob == pair.alice);
    }
  }
}

TEST("efficiency of yanetal and option 8 at frames of 10^5 bits") {
  for (const double rate : {0.01, 0.02, 0.05}) {
    const uint32_t bits = 800'000;
    const Pair pair = MakePair(bits, rate, 77);
    const double q = static_cast<double>(pair.errors) / bits, h = -q * std::log2(q) - (1 - q) * std::log2(1 - q);
    for (const auto variant : {CascadeVariant::kYanEtAl, CascadeVariant::kOption8}) {
      const CascadeOptions options = Options(variant, bits, 100'000, static_cast<uint32_t>(rate * 1e6));
      Cascade alice(options, pair.alice), bob(options, pair.bob);
      const double efficiency = static_cast<double>(Run(alice, bob)) / (bits * h);
      CHECK(efficiency > 1.0 && efficiency < (rate < 0.04 ? 1.065 : 1.075));
      CHECK(bob.corrected() == pair.errors);
    }
  }
}

TEST("more than 64 frames, lengths that divide nothing, no errors, a wrong estimate") {
  for (const uint32_t bits : {2u, 63u, 64u, 65u, 1'000u, 70'001u}) {
    for (const double rate : {0.0, 0.05}) {
      Pair pair = MakePair(bits, rate, bits);
      const CascadeOptions options = Options(CascadeVariant::kYanEtAl, bits, bits > 1'000 ? 1'000 : 64, 10'000);
      Cascade alice(options, pair.alice), bob(options, pair.bob);
      Run(alice, bob);
      if (bob.given_up() > 0) continue;  // Tiny frames may ask for more than they have.
      bob.Correct(pair.bob);
      CHECK(pair.bob == pair.alice);
    }
  }
  const Pair clean = MakePair(100'000, 0, 5);
  const CascadeOptions options = Options(CascadeVariant::kOption7, 100'000, 10'000, 20'000);
  Cascade alice(options, clean.alice), bob(options, clean.bob);
  Run(alice, bob);
  CHECK(alice.round() == 1);  // The checks agree after the first pass.
}

TEST("strings that have nothing in common are given up, after less than two messages per bit") {
  Pair pair = MakePair(20'000, 0.5, 9);
  const CascadeOptions options = Options(CascadeVariant::kYanEtAl, 20'000, 10'000, 20'000);
  Cascade alice(options, pair.alice), bob(options, pair.bob);
  const uint64_t sent = Run(alice, bob);
  CHECK(bob.given_up() > 0 && sent < 2 * 20'000 + 2 * 10'000);
}

TEST("what is no message of this round is refused, and changes nothing") {
  Pair pair = MakePair(50'003, 0.02, 11);
  const CascadeOptions options = Options(CascadeVariant::kOption8, 50'003, 10'000, 20'000);
  Cascade alice(options, pair.alice), bob(options, pair.bob);
  const Bytes good = Copy(alice.Message());
  Bytes shorter(good.begin(), good.end() - 1), longer = good, other_round = good, other_count = good;
  longer.push_back(0);
  other_round[0] ^= 1;
  other_count[4] ^= 1;
  for (const Bytes& bad : {shorter, longer, other_round, other_count, Bytes()}) THROWS(bob.Receive(bad), "Cascade");
  uint32_t count = 0;
  std::memcpy(&count, good.data() + 4, 4);
  if (count % 8 != 0) {
    Bytes tail = good;
    tail.back() |= 0x80;
    THROWS(bob.Receive(tail), "behind");
  }
  Run(alice, bob);
  CHECK(bob.corrected() == pair.errors);
  THROWS(bob.Receive(good), "after the last round");
}

TEST("a party that lies ends, whatever it says") {
  std::mt19937_64 random(13);
  for (int variant = 0; variant < kCascadeVariants; ++variant) {
    const Pair pair = MakePair(5'000, 0.02, 17);
    Cascade bob(Options(static_cast<CascadeVariant>(variant), 5'000, 1'000, 20'000), pair.bob);
    uint32_t rounds = 0;
    for (; !bob.done() && rounds < 100'000; ++rounds) {
      Bytes lie = Copy(bob.Message());
      uint32_t count = 0;
      std::memcpy(&count, lie.data() + 4, 4);
      for (size_t i = 8; i < lie.size(); ++i) lie[i] = static_cast<uint8_t>(random());
      if (count % 8 != 0) lie.back() &= static_cast<uint8_t>((1 << count % 8) - 1);
      bob.Receive(lie);
    }
    CHECK(bob.done());
  }
}

TEST("two runs with one seed send the same bytes") {
  const Pair pair = MakePair(30'000, 0.02, 19);
  const CascadeOptions options = Options(CascadeVariant::kBiconf, 30'000, 10'000, 20'000);
  Cascade first(options, pair.alice), second(options, pair.alice), bob(options, pair.bob);
  while (!first.done()) {
    CHECK(Copy(first.Message()) == Copy(second.Message()));
    const Bytes from_alice = Copy(first.Message()), from_bob = Copy(bob.Message());
    first.Receive(from_bob);
    second.Receive(from_bob);
    bob.Receive(from_alice);
  }
}

TEST("block sizes are those of the variants") {
  const auto sizes = [](CascadeVariant variant, uint32_t n, uint32_t ppm, size_t count) {
    std::vector<uint32_t> all = PlanCascade(variant, n, ppm).block_bits;
    all.resize(count);
    return all;
  };
  CHECK((sizes(CascadeVariant::kOriginal, 100'000, 20'000, 4) == std::vector<uint32_t>{37, 74, 148, 296}));
  CHECK((sizes(CascadeVariant::kBiconf, 100'000, 20'000, 3) == std::vector<uint32_t>{46, 138, 50'000}));
  CHECK((sizes(CascadeVariant::kYanEtAl, 100'000, 20'000, 3) == std::vector<uint32_t>{40, 200, 50'000}));
  CHECK((sizes(CascadeVariant::kOption7, 100'000, 20'000, 3) == std::vector<uint32_t>{64, 256, 50'000}));
  CHECK((sizes(CascadeVariant::kOption8, 100'000, 20'000, 4) == std::vector<uint32_t>{64, 512, 4096, 50'000}));
  CHECK(PlanCascade(CascadeVariant::kYanEtAl, 100'000, 20'000).block_bits.size() == 10 + kCascadeExtraPasses);
}

}  // namespace

TEST_MAIN()
