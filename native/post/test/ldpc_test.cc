// LDPC codes, their decoder in all its ways, and the two parties.
#include <algorithm>
#include <random>
#include <vector>

#include "test/check.h"
#include "post/error.h"
#include "post/ldpc_design.h"
#include "post/ldpc_party.h"

namespace {

using namespace qkme::post;
using Bytes = std::vector<uint8_t>;
using Words = std::vector<uint64_t>;

// Of the edges of one code; both parties must build the same.
constexpr uint64_t kFingerprint24 = 0xe5f64107f504d859;

constexpr uint32_t kLength = 262'147;  // just above the least, and not a whole number of words

void Flip(Bytes& bits, uint64_t i) { bits[i / 8] = static_cast<uint8_t>(bits[i / 8] ^ 1u << i % 8); }

Bytes RandomBytes(std::mt19937_64& random, size_t length) {
  Bytes bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

struct Pair {
  Bytes alice, bob;
};

Pair MakePair(std::mt19937_64& random, uint32_t length, double error_rate) {
  Bytes alice = RandomBytes(random, (length + 7) / 8);
  if (length % 8 != 0) alice.back() = static_cast<uint8_t>(alice.back() & ((1u << length % 8) - 1));
  Bytes bob = alice;
  std::bernoulli_distribution wrong(error_rate);
  for (uint32_t i = 0; i < length; ++i) {
    if (wrong(random)) Flip(bob, i);
  }
  return {alice, bob};
}

struct Outcome {
  bool equal;
  uint64_t leaked, counted;
  uint32_t failed, rounds;
};

Outcome Reconcile(const LdpcPlan& plan, const Pair& pair, std::mt19937_64& random, LdpcImpl impl = LdpcBest()) {
  LdpcAlice alice(plan, pair.alice, RandomBytes(random, plan.MaskBytes()));
  LdpcBob bob(plan.length_bits, pair.bob, impl);
  uint64_t counted = 0;
  for (Bytes message = alice.Message(); !message.empty(); message = alice.Message()) {
    counted += LdpcLeakedBits(message);
    bob.Receive(message);
    alice.Receive(bob.Message());
  }
  Bytes corrected = pair.bob;
  bob.Correct(corrected);
  const bool agreed = alice.done() && bob.done() && alice.leaked_bits() == bob.leaked_bits();
  return {agreed && corrected == pair.alice, alice.leaked_bits(), counted, bob.failed(), bob.rounds()};
}

template <typename Body>
std::string CodeOf(Body body) {
  try {
    body();
  } catch (const PostError& error) {
    return error.code();
  }
  return "";
}

}  // namespace

TEST("every code has its degrees, equal rows and no short cycle") {
  for (const uint32_t rows : {14u, 57u, 152u}) {
    const LdpcDesign design = LdpcDesignOf(rows);
    const auto code = LdpcCodeOf(rows);
    std::vector<std::vector<std::pair<uint32_t, uint32_t>>> columns(kLdpcColumns);
    size_t least = SIZE_MAX, most = 0;
    for (uint32_t row = 0; row < rows; ++row) {
      least = std::min(least, code->Row(row).size());
      most = std::max(most, code->Row(row).size());
      for (const LdpcEdge& edge : code->Row(row)) columns[edge.column].push_back({row, edge.shift});
    }
    CHECK(most - least <= 1);
    std::vector<uint32_t> counted(rows + 1, 0);
    for (const auto& column : columns) ++counted[column.size()];
    for (const LdpcDegree& group : design.degrees) CHECK(counted[group.degree] == group.columns);
    CHECK(code->pliable().size() * kLdpcCirculant >= LdpcFrame::Pool(rows));
    // Two columns that meet in two rows, at the same distance, make a cycle of four edges.
    for (uint32_t a = 0; a < kLdpcColumns; ++a) {
      for (uint32_t b = 0; b < a; ++b) {
        std::vector<uint32_t> distances;
        for (const auto& [row, shift] : columns[a]) {
          for (const auto& [other, far] : columns[b]) {
            if (other == row) distances.push_back((shift - far) % kLdpcCirculant);
          }
        }
        std::sort(distances.begin(), distances.end());
        CHECK(std::adjacent_find(distances.begin(), distances.end()) == distances.end());
      }
    }
  }
}

TEST("a code is the same on every machine") {
  uint64_t sum = 0;
  for (uint32_t row = 0; row < 24; ++row) {
    for (const LdpcEdge& edge : LdpcCodeOf(24)->Row(row)) sum = sum * 0x100000001B3u + edge.column * 4096u + edge.shift;
  }
  CHECK(sum == kFingerprint24);
}

TEST("a syndrome is the sum of the columns of its bits") {
  const auto code = LdpcCodeOf(24);
  Words frame(kLdpcFrameBits / 64, 0), found(code->syndrome_bits() / 64), expected(found.size(), 0);
  std::mt19937_64 random(3);
  for (int n = 0; n < 20; ++n) {
    const auto place = static_cast<uint32_t>(random() % kLdpcFrameBits);
    frame[place / 64] ^= uint64_t{1} << place % 64;
    for (uint32_t row = 0; row < code->rows(); ++row) {
      for (const LdpcEdge& edge : code->Row(row)) {
        if (edge.column != place / kLdpcCirculant) continue;
        const uint32_t check = row * kLdpcCirculant + (place - edge.shift) % kLdpcCirculant;
        expected[check / 64] ^= uint64_t{1} << check % 64;
      }
    }
  }
  code->Syndrome(frame.data(), found.data());
  CHECK(found == expected);
}

TEST("all ways to decode agree in each bit, in frames that are solved and in frames that are not") {
  const auto code = LdpcCodeOf(57);
  std::mt19937_64 random(7);
  for (const double error_rate : {0.02, 0.045}) {
    Words errors(kLdpcFrameBits / 64, 0), syndrome(code->syndrome_bits() / 64);
    std::bernoulli_distribution wrong(error_rate);
    for (uint32_t i = 0; i < kLdpcFrameBits; ++i) errors[i / 64] |= static_cast<uint64_t>(wrong(random)) << i % 64;
    code->Syndrome(errors.data(), syndrome.data());
    std::vector<Words> found;
    std::vector<uint32_t> iterations;
    for (int i = 0; i < kLdpcImpls; ++i) {
      if (!LdpcSupported(static_cast<LdpcImpl>(i))) continue;
      LdpcDecoder decoder(code, static_cast<LdpcImpl>(i));
      for (uint32_t place = 0; place < 3'000; ++place) decoder.SetUnknown(place * 7);
      const LdpcResult result = decoder.Run(syndrome.data(), 6);
      CHECK(!result.converged);
      if (error_rate < 0.03) CHECK(decoder.Run(syndrome.data(), 20).converged);
      found.emplace_back(kLdpcFrameBits / 64);
      decoder.Errors(found.back().data());
      iterations.push_back(decoder.unsatisfied());
    }
    for (size_t i = 1; i < found.size(); ++i) CHECK(found[i] == found[0] && iterations[i] == iterations[0]);
    if (error_rate < 0.03) CHECK(found[0] == errors);
  }
}

TEST("two parties agree after one message each, and what is leaked is what Alice sent") {
  std::mt19937_64 random(11);
  const LdpcPlan plan = MakeLdpcPlan(kLength, 30'000, false);
  const Outcome outcome = Reconcile(plan, MakePair(random, kLength, 0.03), random);
  CHECK(outcome.equal && outcome.failed == 0);
  CHECK(outcome.rounds == 1 && outcome.leaked == outcome.counted && outcome.leaked == plan.SyndromeBits() - plan.punctured);
}

TEST("a block of several frames, the last of them shorter") {
  std::mt19937_64 random(12);
  const uint32_t length = 2 * 1'000'000 + 4'321;
  const LdpcPlan plan = MakeLdpcPlan(length, 20'000, false);
  CHECK(plan.frames == 3 || plan.frames == 2);
  CHECK(Reconcile(plan, MakePair(random, length, 0.018), random).equal);
}

TEST("blind: what was punctured too much is revealed until it fits, and counted") {
  std::mt19937_64 random(13);
  const LdpcPlan sure = MakeLdpcPlan(kLength, 30'000, false);
  LdpcPlan plan = sure;
  plan.punctured = LdpcFrame::Pool(plan.rows);
  const Outcome outcome = Reconcile(plan, MakePair(random, kLength, 0.034), random);
  CHECK(outcome.equal && outcome.rounds > 1 && outcome.leaked == outcome.counted);
  CHECK(outcome.leaked > plan.SyndromeBits() - plan.punctured);
}

TEST("an estimate that is too low costs rounds: bits of the key are asked for when nothing else is left") {
  std::mt19937_64 random(14);
  const LdpcPlan plan = MakeLdpcPlan(kLength, 20'000, false);
  const Outcome outcome = Reconcile(plan, MakePair(random, kLength, 0.027), random);
  CHECK(outcome.equal && outcome.rounds > 1 && outcome.leaked == outcome.counted);
  CHECK(outcome.leaked > plan.SyndromeBits());
}

TEST("another's messages are refused and change nothing") {
  std::mt19937_64 random(15);
  const LdpcPlan plan = MakeLdpcPlan(kLength, 20'000, false);
  const Pair pair = MakePair(random, kLength, 0.027);
  LdpcAlice alice(plan, pair.alice, RandomBytes(random, plan.MaskBytes()));
  LdpcBob bob(kLength, pair.bob);
  const Bytes first = alice.Message();
  CHECK(CodeOf([&] { bob.Receive({}); }) == "PROTOCOL");
  Bytes wrong(first.begin(), first.end() - 1);
  CHECK(CodeOf([&] { bob.Receive(wrong); }) == "PROTOCOL");
  for (size_t at = 0; at < 15; ++at) {
    wrong = first;
    if (at == 3) continue;  // Another number of punctured bits, as good as this one.
    wrong[at] = static_cast<uint8_t>(wrong[at] ^ 0x80);
    CHECK(CodeOf([&] { bob.Receive(wrong); }) == "PROTOCOL");
  }
  CHECK(CodeOf([&] { alice.Receive({}); }) == "PROTOCOL");
  bob.Receive(first);
  CHECK(CodeOf([&] { bob.Receive(first); }) == "PROTOCOL");
  const Bytes ask = bob.Message();
  CHECK(ask.size() > 11);
  for (size_t at = 0; at < 19; ++at) {
    if (at == 11 || at == 12) continue;  // Another number of bits, as good as this one.
    wrong = ask;
    wrong[at] = static_cast<uint8_t>(wrong[at] ^ 0x80);
    CHECK(CodeOf([&] { alice.Receive(wrong); }) == "PROTOCOL");
  }
  wrong = ask;
  wrong.push_back(0);
  CHECK(CodeOf([&] { alice.Receive(wrong); }) == "PROTOCOL");
  const uint64_t leaked = alice.leaked_bits();
  alice.Receive(ask);
  CHECK(alice.leaked_bits() > leaked);
  CHECK(CodeOf([&] { alice.Receive(ask); }) == "PROTOCOL");
  const Bytes values = alice.Message();
  for (size_t at = 0; at < 7; ++at) {
    wrong = values;
    wrong[at] = static_cast<uint8_t>(wrong[at] ^ 0x40);
    CHECK(CodeOf([&] { bob.Receive(wrong); }) == "PROTOCOL");
  }
  bob.Receive(values);
}

TEST("a place of the key is revealed once: asked for twice, out of order or outside, it is refused") {
  std::mt19937_64 random(16);
  const LdpcPlan plan = MakeLdpcPlan(kLength, 20'000, false);
  const Pair pair = MakePair(random, kLength, 0.02);
  LdpcAlice alice(plan, pair.alice, RandomBytes(random, plan.MaskBytes()));
  alice.Message();
  const LdpcFrame frame(LdpcCodeOf(plan.rows), plan.BitsOf(0));
  const auto ask = [](uint8_t round, const std::vector<uint32_t>& places) {
    Bytes message = {2, round, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<uint8_t>(places.size()), 0, 0, 0};
    for (const uint32_t place : places) {
      for (int i = 0; i < 4; ++i) message.push_back(static_cast<uint8_t>(place >> 8 * i));
    }
    return message;
  };
  const uint32_t a = frame.KeyPlace(5), b = frame.KeyPlace(70'000);
  CHECK(CodeOf([&] { alice.Receive(ask(1, {b, a})); }) == "PROTOCOL");
  CHECK(CodeOf([&] { alice.Receive(ask(1, {a, a})); }) == "PROTOCOL");
  CHECK(CodeOf([&] { alice.Receive(ask(1, {frame.PoolPlace(0)})); }) == "PROTOCOL");
  CHECK(CodeOf([&] { alice.Receive(ask(1, {kLdpcFrameBits})); }) == "PROTOCOL");
  alice.Receive(ask(1, {a, b}));
  const Bytes values = alice.Message();
  const auto bit = [&](uint64_t i) { return pair.alice[i / 8] >> i % 8 & 1; };
  CHECK(values.size() == 8 && values[7] == (bit(5) | bit(70'000) << 1));
  CHECK(CodeOf([&] { alice.Receive(ask(2, {b})); }) == "PROTOCOL");
}

TEST_MAIN()
