#include "health.h"

#include "health_scan.h"

#include <algorithm>
#include <random>

#include "check.h"

using namespace qkme;
using Verdict = HealthTests::Verdict;

namespace {
// No byte twice in a row, no value often, every line of a bus moves.
std::vector<uint8_t> Calm(size_t length) {
  std::vector<uint8_t> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = uint8_t(i * 37 + i / 8 * 11);
  return bytes;
}
}  // namespace

TEST("repetition count: five in a row pass, six are suspicious, eleven are stuck") {
  for (size_t run = 1; run <= 12; ++run) {
    for (size_t at : {size_t{0}, size_t{100}, size_t{3968 - run}}) {
      std::vector<uint8_t> bytes = Calm(3968);
      for (size_t i = 0; i < run; ++i) bytes[at + i] = 0xEE;
      if (at > 0) bytes[at - 1] = 0x11;
      if (at + run < bytes.size()) bytes[at + run] = 0x11;
      const Verdict want = run >= 11 ? Verdict::kStuck : run >= 6 ? Verdict::kSuspicious : Verdict::kGood;
      HealthTests tests;
      CHECK(tests.Add(bytes.data(), bytes.size()) == want);
    }
  }
}

TEST("a run is counted over the ends of frames, however short") {
  for (size_t length : {size_t{1}, size_t{2}, size_t{3}, size_t{5}}) {
    HealthTests tests;
    std::vector<uint8_t> bytes(length, 0x42);
    size_t sum = 0;
    while (sum + length < 6) {
      CHECK(tests.Add(bytes.data(), length) == Verdict::kGood);
      sum += length;
    }
    CHECK(tests.Add(bytes.data(), length) == Verdict::kSuspicious);
  }
}

TEST("adaptive proportion: 18 of the first sample in 512 pass, 19 do not") {
  for (uint32_t count : {18u, 19u}) {
    std::vector<uint8_t> bytes(512);
    for (size_t i = 0; i < 512; ++i) bytes[i] = uint8_t(1 + i % 255);
    for (uint32_t i = 0; i < count; ++i) bytes[i * 20] = 0;
    HealthTests tests;
    CHECK(tests.Add(bytes.data(), 512) == (count == 19 ? Verdict::kSuspicious : Verdict::kGood));
    // The same in pieces.
    HealthTests pieces;
    bool suspicious = false;
    for (size_t at = 0; at < 512; at += 7) {
      suspicious |= pieces.Add(&bytes[at], std::min<size_t>(7, 512 - at)) == Verdict::kSuspicious;
    }
    CHECK(suspicious == (count == 19));
  }
}

TEST("a line of a 64-bit bus that never moves is found within 1 KiB") {
  std::mt19937_64 chance(5);
  std::vector<uint64_t> words(kLineWords);
  for (uint64_t& w : words) w = chance() | uint64_t{1} << 41;
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(words.data());
  HealthTests tests;
  CHECK(tests.Add(bytes, 512) == Verdict::kGood);
  CHECK(tests.Add(bytes + 512, 512) == Verdict::kStuck);
  for (uint64_t& w : words) w &= ~(uint64_t{1} << 3);
  HealthTests low;
  CHECK(low.Add(bytes, 1024) == Verdict::kStuck);
}

TEST("random bytes pass") {
  std::mt19937_64 chance(6);
  std::vector<uint8_t> bytes(3968);
  HealthTests tests;
  for (int frame = 0; frame < 2'000; ++frame) {
    for (uint8_t& b : bytes) b = uint8_t(chance() >> 24);
    CHECK(tests.Add(bytes.data(), bytes.size()) == Verdict::kGood);
  }
}

TEST("all instructions look alike: triples, counts and lines, for each length and place") {
  std::mt19937_64 chance(11);
  // Exactly as long as what is looked at, so that the sanitizer sees a read behind its end.
  for (size_t length = 0; length <= 700; ++length) {
    std::vector<uint8_t> bytes(length);
    for (uint8_t& byte : bytes) byte = uint8_t(chance() % (length % 3 == 0 ? 4 : 60));
    size_t triple = length;
    for (size_t i = length; i-- > 0;) if (i + 2 < length && bytes[i] == bytes[i + 1] && bytes[i] == bytes[i + 2]) triple = i;
    const uint32_t count = uint32_t(std::count(bytes.begin(), bytes.end(), 3));
    uint64_t ones = ~uint64_t{0} ^ 64, zeros = ~uint64_t{0} ^ 128;
    KeepStuck(bytes.data(), length / 8, &ones, &zeros, ScanImpl::kPortable);
    for (int impl = 0; impl < kScanImpls; ++impl) {
      if (!ScanSupported(ScanImpl(impl))) continue;
      CHECK(FirstTriple(bytes.data(), length, ScanImpl(impl)) == triple);
      CHECK(CountEqual(bytes.data(), length, 3, ScanImpl(impl)) == count);
      uint64_t o = ~uint64_t{0} ^ 64, z = ~uint64_t{0} ^ 128;
      KeepStuck(bytes.data(), length / 8, &o, &z, ScanImpl(impl));
      CHECK(o == ones && z == zeros);
    }
  }
}

TEST("equal bytes are counted right however many they are") {
  for (const size_t length : {4'079, 4'080, 4'081, 4'096, 8'192, 65'536, 70'001}) {
    const std::vector<uint8_t> bytes(length, 9);
    for (int impl = 0; impl < kScanImpls; ++impl) {
      if (ScanSupported(ScanImpl(impl))) CHECK(CountEqual(bytes.data(), length, 9, ScanImpl(impl)) == length);
    }
  }
}

TEST("a triple is found wherever it lies, alone") {
  for (size_t at = 0; at + 3 <= 400; ++at) {
    std::vector<uint8_t> bytes(400);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(i);
    bytes[at + 1] = bytes[at + 2] = bytes[at];
    for (int impl = 0; impl < kScanImpls; ++impl) {
      if (ScanSupported(ScanImpl(impl))) CHECK(FirstTriple(bytes.data(), bytes.size(), ScanImpl(impl)) == at);
    }
  }
}

TEST_MAIN()

TEST("runs are found as by counting byte by byte, wherever they lie and however the bytes are cut into frames") {
  std::mt19937 random(5);
  for (int round = 0; round < 20'000; ++round) {
    HealthTests tests;
    uint32_t run = 0;
    uint8_t last = 0;
    for (int frame = 0; frame < 4; ++frame) {
      std::vector<uint8_t> bytes(1 + random() % 90);
      const uint32_t letters = 2 + random() % 6;
      uint32_t longest = 0;
      for (uint8_t& byte : bytes) {
        byte = uint8_t(random() % letters);
        run = run > 0 && byte == last ? run + 1 : 1;
        last = byte;
        longest = std::max(longest, run);
      }
      // Few letters are often the same, too, so that only what the run decides is compared.
      const Verdict found = tests.Add(bytes.data(), bytes.size());
      if (longest >= kRepetitionCertain) CHECK(found == Verdict::kStuck);
      if (longest >= kRepetitionCutoff) CHECK(found != Verdict::kGood);
    }
  }
}

TEST("frames without runs of six and with values evenly spread are good, whatever short runs they have") {
  std::mt19937 random(6);
  HealthTests tests;
  for (int frame = 0; frame < 2'000; ++frame) {
    std::vector<uint8_t> bytes(3968);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(random());
    const size_t at = random() % (bytes.size() - 8);
    for (size_t i = 0; i < 4; ++i) bytes[at + i] = uint8_t(bytes[at + 5] + 1);  // a run of four, or five with its neighbour
    if (at > 0) bytes[at - 1] = uint8_t(bytes[at] + 1);
    bytes[at + 4] = uint8_t(bytes[at] + 2);
    CHECK(tests.Add(bytes.data(), bytes.size()) == Verdict::kGood);
  }
}
