// Planes, selection and shuffling against their definitions bit by bit.
#include "post/sift.h"

#include <algorithm>
#include <random>
#include <vector>

#include "post/bit_rows.h"
#include "post/shuffle.h"
#include "test/check.h"

namespace {

using namespace qkme::post;
using Bytes = std::vector<uint8_t>;

bool Bit(const Bytes& bytes, size_t i) { return bytes[i / 8] >> (i % 8) & 1; }
Bytes RandomBytes(std::mt19937_64& random, size_t n) {
  Bytes out(n);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random());
  return out;
}

TEST("a plane is one bit of each record, with and without AVX2") {
  std::mt19937_64 random(1);
  for (size_t n = 0; n < 400; ++n) {
    const bool slow = n % 2 == 1;
    ForbidFastSelect(slow);
    const Bytes records = RandomBytes(random, n / 2);
    for (unsigned shift = 0; shift < 8; ++shift) {
      Bytes plane(PackedBytes(records.size()), 0xff);
      TakePlane(records, shift, plane);
      for (size_t i = 0; i < plane.size() * 8; ++i) CHECK(Bit(plane, i) == (i < records.size() && (records[i] >> shift & 1)));
    }
  }
  ForbidFastSelect(false);
}

TEST("planes are combined bit by bit, and nothing stands behind the last bit") {
  std::mt19937_64 random(3);
  for (size_t n = 0; n < 300; n += 3) {
    const Bytes a = RandomBytes(random, PackedBytes(n)), b = RandomBytes(random, PackedBytes(n));
    for (unsigned rule = 0; rule < kPlaneRules; ++rule) {
      Bytes out(PackedBytes(n), 0xff);
      Combine(static_cast<PlaneRule>(rule), a, b, n, out);
      for (size_t i = 0; i < out.size() * 8; ++i) {
        const bool x = i < n && Bit(a, i), y = i < n && Bit(b, i);
        const bool expected[] = {x && y, x && !y, x != y, x == y};
        CHECK(Bit(out, i) == (i < n && expected[rule]));
      }
    }
  }
  Bytes out(2);
  THROWS(Combine(PlaneRule::kAnd, Bytes(2), Bytes(1), 16, out), "equally long");
}

TEST("selected bits follow each other, with and without pext, from any bit on") {
  std::mt19937_64 random(2);
  for (const bool slow : {false, true}) {
    ForbidFastSelect(slow);
    for (size_t n = 0; n < 300; n += 7) {
      const Bytes plane = RandomBytes(random, PackedBytes(n)), mask = RandomBytes(random, PackedBytes(n));
      std::vector<bool> expected;
      for (size_t i = 0; i < n; ++i) if (Bit(mask, i)) expected.push_back(Bit(plane, i));
      CHECK(CountBoth(mask, mask, n) == expected.size());
      for (const size_t at : {0u, 3u, 8u, 61u}) {
        Bytes out(PackedBytes(at + expected.size()));
        for (size_t i = 0; i < at; ++i) out[i / 8] |= static_cast<uint8_t>(1 << i % 8);
        CHECK(SelectBits(plane, mask, n, out, at) == expected.size());
        for (size_t i = 0; i < at; ++i) CHECK(Bit(out, i));
        for (size_t i = 0; i < expected.size(); ++i) CHECK(Bit(out, at + i) == expected[i]);
      }
    }
    Bytes small(1);
    THROWS(SelectBits(Bytes(4, 0xff), Bytes(4, 0xff), 32, small, 0), "room");
  }
  ForbidFastSelect(false);
}

TEST("a shuffle is a permutation, undone by its inverse, and every seed and stream has its own") {
  Seed seed{};
  seed[0] = 1;
  for (const uint32_t n : {0u, 1u, 2u, 9u, 1'000u}) {
    std::vector<uint32_t> order = MakePermutation(seed, 5, n), sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (uint32_t i = 0; i < n; ++i) CHECK(sorted[i] == i);
    std::mt19937_64 random(n);
    Bytes in = RandomBytes(random, PackedBytes(n));
    if (n % 8 != 0) in.back() &= static_cast<uint8_t>((1 << n % 8) - 1);
    Bytes there(in.size()), back(in.size());
    ShuffleBits(seed, in, n, false, there);
    ShuffleBits(seed, there, n, true, back);
    CHECK(back == in);
    if (n >= 1'000) CHECK(there != in && MakePermutation(seed, 6, n) != order);
  }
  const std::vector<uint32_t> known = MakePermutation(seed, 0, 8);
  CHECK((known == MakePermutation(seed, 0, 8)));
}

TEST("places of a permutation are uniform") {
  constexpr uint32_t kItems = 16;
  constexpr int kRuns = 20'000;
  std::vector<int> counts(kItems * kItems);
  Seed seed{};
  for (int run = 0; run < kRuns; ++run) {
    const auto order = MakePermutation(seed, static_cast<uint64_t>(run), kItems);
    for (uint32_t i = 0; i < kItems; ++i) ++counts[i * kItems + order[i]];
  }
  const double expected = static_cast<double>(kRuns) / kItems;
  double chi = 0;
  for (const int n : counts) chi += (n - expected) * (n - expected) / expected;
  // 225 degrees of freedom: 0.1 % tails at about 163 and 297.
  CHECK(chi > 163 && chi < 297);
}

TEST("rows of bits: parities, starts and neighbours at any distance") {
  constexpr uint32_t kBits = 20'000;
  std::mt19937_64 random(3);
  BitRows memory(3, kBits);
  BitRow rows = memory.Row(1), other = memory.Row(2);
  std::vector<bool> found(kBits), start(kBits);
  rows.SetStart(0);
  start[0] = true;
  for (int step = 0; step < 400; ++step) {
    const uint32_t at = static_cast<uint32_t>(random() % kBits);
    rows.FlipFound(at);
    found[at] = !found[at];
    if (step % 20 == 0) {
      const uint32_t place = static_cast<uint32_t>(random() % kBits);
      rows.SetStart(place);
      start[place] = true;
    }
    uint32_t from = static_cast<uint32_t>(random() % kBits), to = static_cast<uint32_t>(random() % (kBits + 1));
    if (from > to) std::swap(from, to);
    bool parity = false;
    for (uint32_t i = from; i < to; ++i) parity ^= found[i];
    CHECK(rows.Found(from, to) == parity && !memory.Row(0).Found(from, to) && !other.Found(from, to));
    uint32_t before = from, after = from + 1;
    while (!start[before]) --before;
    while (after < kBits && !start[after]) ++after;
    CHECK(rows.StartBefore(from) == before && rows.StartAfter(from, kBits) == after);
  }
}

}  // namespace

TEST_MAIN()
