#include "seen_frames.h"

#include <deque>
#include <random>
#include <unordered_map>

#include "check.h"
#include "fingerprint.h"
#include "ring_fixture.h"
#include "siphash.h"

using namespace qkme;
using Verdict = SeenFrames::Verdict;

TEST("SipHash-2-4 gives the vectors of its paper") {
  uint8_t key[16], in[15];
  for (uint8_t i = 0; i < 16; ++i) key[i] = i;
  for (uint8_t i = 0; i < 15; ++i) in[i] = i;
  CHECK(SipHash(key)(in, 15) == 0xA129CA6149BE45E5);
  CHECK(SipHash(key)(in, 0) == 0x726FDB47DD0E0E31);
}

TEST("a fingerprint moves with every bit of the payload, the length and the key") {
  const Fingerprinter one(test::kFingerprintKey);
  uint8_t other_key[32] = {9};
  const Fingerprinter other(other_key);
  std::vector<uint8_t> bytes(kFramePayloadMax);
  test::FillPayload(1, bytes.data(), bytes.size());
  const uint64_t whole = one.Payload(bytes.data(), bytes.size());
  CHECK(whole != other.Payload(bytes.data(), bytes.size()));
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 5) {
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    CHECK(one.Payload(bytes.data(), bytes.size()) != whole);
    bytes[bit / 8] ^= uint8_t(1 << bit % 8);
  }
  CHECK(one.Payload(bytes.data(), bytes.size()) == whole);
  const std::vector<uint8_t> zeros(40);
  CHECK(one.Payload(zeros.data(), 32) != one.Payload(zeros.data(), 33));
  CHECK(one.Name(1, bytes.data(), 2) != one.Name(2, bytes.data(), 1));
}

TEST("fingerprints are those that older versions stored") {
  const Fingerprinter one(test::kFingerprintKey);
  std::vector<uint8_t> bytes(kFramePayloadMax);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(i * i >> 3);
  CHECK(one.Payload(bytes.data(), 3968) == 0x0CC62AC0F25425A3);
  CHECK(one.Payload(bytes.data(), 1001) == 0x92E3021F646D260A);
}

TEST("the four verdicts") {
  SeenFrames seen(8);
  CHECK(seen.Judge(1, 100, true) == Verdict::kNew);
  seen.Add(1, 100, true);
  CHECK(seen.Judge(1, 100, true) == Verdict::kRepeat);
  CHECK(seen.Judge(1, 101, true) == Verdict::kOtherBytes);
  CHECK(seen.Judge(2, 100, true) == Verdict::kReplay);
  CHECK(seen.Judge(2, 100, false) == Verdict::kNew);
}

TEST("exactly the last `capacity` frames are known, as in a simple model") {
  constexpr uint32_t kCapacity = 256;
  SeenFrames seen(kCapacity);
  std::deque<std::pair<uint64_t, uint64_t>> model;
  std::unordered_map<uint64_t, uint64_t> names;
  std::mt19937_64 chance(3);
  for (int step = 0; step < 60'000; ++step) {
    // Few different low bits, so that chains are long and erasing has to close holes; few different high ones, so that tags meet, too.
    const uint64_t name = chance() % 64 + (chance() % 64 << 55), fingerprint = (chance() % 16) + (chance() << 20);
    const auto known = names.find(name);
    const Verdict want = known == names.end() ? Verdict::kNew : known->second == fingerprint ? Verdict::kRepeat : Verdict::kOtherBytes;
    CHECK(seen.Judge(name, fingerprint, false) == want);
    if (want != Verdict::kNew) continue;
    const bool by_payload = step % 3 != 0;
    seen.Add(name, fingerprint, by_payload);
    names[name] = fingerprint;
    model.emplace_back(name, fingerprint);
    if (by_payload) CHECK(seen.Judge(uint64_t{1} << 63, fingerprint, true) == Verdict::kReplay);
    if (model.size() > kCapacity) {
      names.erase(model.front().first);
      CHECK(seen.Judge(uint64_t{1} << 63, model.front().second, true) == Verdict::kNew);
      model.pop_front();
    }
    CHECK(seen.size() == model.size());
  }
}

TEST("a device that sends a million equal short payloads does not slow the table down") {
  SeenFrames seen(1 << 16);
  for (uint64_t i = 0; i < 300'000; ++i) seen.Add(i * 0x9E3779B97F4A7C15, 42, false);
  CHECK(seen.size() == 1 << 16);
}

TEST("capacities that are not a power of two are refused") {
  THROWS(SeenFrames(1000), "power of two");
}

TEST_MAIN()
