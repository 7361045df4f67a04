#include "post/ldpc_party.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "post/error.h"
#include "post/ldpc_design.h"
#include "post/ldpc_message.h"

namespace qkme::post {
namespace {

constexpr uint32_t kIterations = 150;
// Rounds of asking, after which a frame is given up.
constexpr uint32_t kRoundsMax = 30;
// So few checks that do not hold are a small knot: a handful of bits undoes it.
constexpr uint32_t kKnot = 256;
constexpr uint32_t kKnotBits = 128;

// A share of the syndrome, so that a round brings the code a fiftieth further.
uint32_t Step(const LdpcCode& code) { return code.syndrome_bits() / 50; }

bool BitAt(std::span<const uint8_t> bits, uint64_t i) { return bits[i / 8] >> i % 8 & 1; }

[[noreturn]] void Refuse(const char* what) { throw PostError("PROTOCOL", std::string("LDPC: ") + what); }

bool HasRows(uint32_t rows) {
  const auto mothers = LdpcMothers();
  return std::any_of(mothers.begin(), mothers.end(), [&](const LdpcMother& mother) { return mother.rows == rows; });
}

double Entropy(double e) { return -e * std::log2(e) - (1 - e) * std::log2(1 - e); }

template <typename T>
void Wipe(std::vector<T>& values) {
  if (!values.empty()) explicit_bzero(values.data(), values.size() * sizeof(T));
}

uint32_t MaskBytesOf(const LdpcPlan& plan) { return (plan.punctured + 7) / 8; }

// Key bits of the frames by which the limits of the mother codes were measured.
constexpr double kMeasuredBits = 1e6;
// Of a frame that carries fewer key bits than it could.
constexpr double kShortCost = 0.10;
// Of puncturing, per share of the syndrome.
constexpr double kPunctureCost = 0.12;

}  // namespace

uint32_t LdpcPlan::BitsOf(uint32_t frame) const {
  const uint64_t first = uint64_t{frame} * FrameBits();
  return static_cast<uint32_t>(std::min<uint64_t>(FrameBits(), length_bits - first));
}

LdpcPlan MakeLdpcPlan(uint32_t length_bits, uint32_t error_ppm, bool blind) {
  Require(length_bits >= kLdpcBlockBitsMin && length_bits <= kLdpcBlockBitsMax, "LDPC takes 2^18 to 2^27 bits");
  Require(error_ppm > 0 && error_ppm < 500'000, "an expected error rate is 1 to 499999 millionths");
  LdpcPlan plan = {};
  for (const LdpcMother& mother : LdpcMothers()) {
    const uint32_t capacity = LdpcFrame::Capacity(mother.rows);
    const uint32_t checks = mother.rows * kLdpcCirculant;
    plan = {length_bits, mother.rows, (length_bits + capacity - 1) / capacity, 0};
    const double efficiency = checks / (kMeasuredBits * Entropy(mother.error_ppm * 1e-6));
    const double shortage = std::max(0.0, 1 - plan.FrameBits() / kMeasuredBits);
    const double needed = plan.FrameBits() * Entropy(error_ppm * 1e-6) * efficiency * (1 + kShortCost * shortage);
    const double spare = (checks - needed) / (1 + kPunctureCost);
    if (spare < 0) continue;
    plan.punctured = static_cast<uint32_t>(std::min<double>(spare, LdpcFrame::Pool(mother.rows)));
    break;
  }
  if (blind) plan.punctured = LdpcFrame::Pool(plan.rows);
  return plan;
}

uint64_t LdpcLeakedBits(std::span<const uint8_t> message) {
  ldpc::Reader reader(message);
  switch (reader.U8()) {
    case ldpc::kSyndromes: {
      const LdpcPlan plan = ldpc::ReadPlan(reader);
      return plan.SyndromeBits() - uint64_t{plan.frames} * plan.punctured;
    }
    case ldpc::kValues: {
      reader.U16();
      return reader.U32();
    }
    default: Refuse("not a message of Alice's");
  }
}

LdpcAlice::LdpcAlice(const LdpcPlan& plan, std::span<const uint8_t> bits, std::span<const uint8_t> mask)
    : plan_(plan), code_(LdpcCodeOf(plan.rows)), bits_(bits.begin(), bits.end()), mask_(mask.begin(), mask.end()), states_(plan.frames) {
  Require(bits.size() == (plan.length_bits + 7) / 8, "a block has as many bytes as its bits need");
  Require(mask.size() == plan.MaskBytes(), "a mask has as many bytes as its plan says");
  due_ = Syndromes();
  leaked_bits_ = LdpcLeakedBits(due_);
}

LdpcAlice::~LdpcAlice() {
  Wipe(bits_);
  Wipe(mask_);
}

std::vector<uint8_t> LdpcAlice::Syndromes() {
  ldpc::Writer writer;
  writer.U8(ldpc::kSyndromes);
  ldpc::WritePlan(writer, plan_);
  std::vector<uint64_t> frame(kLdpcFrameBits / 64);
  std::vector<uint64_t> syndrome(code_->syndrome_bits() / 64);
  for (uint32_t f = 0; f < plan_.frames; ++f) {
    const LdpcFrame layout(code_, plan_.BitsOf(f));
    layout.Spread(bits_, First(f), frame.data());
    const auto mask = std::span(mask_).subspan(size_t{f} * MaskBytesOf(plan_), MaskBytesOf(plan_));
    for (uint32_t i = 0; i < plan_.punctured; ++i) {
      const uint32_t place = layout.PoolPlace(i);
      frame[place / 64] |= static_cast<uint64_t>(BitAt(mask, i)) << place % 64;
    }
    code_->Syndrome(frame.data(), syndrome.data());
    writer.Bytes(syndrome.data(), syndrome.size() * sizeof(uint64_t));
  }
  Wipe(frame);
  return writer.Take();
}

std::vector<uint8_t> LdpcAlice::Message() {
  if (!due_.empty()) ++rounds_;
  return std::exchange(due_, {});
}

void LdpcAlice::Receive(std::span<const uint8_t> message) {
  if (done_ || !due_.empty()) Refuse("a message out of turn");
  ldpc::Reader reader(message);
  if (reader.U8() != ldpc::kAsk) Refuse("not what Bob asks");
  if (reader.U16() != rounds_) Refuse("a message of another round");
  const uint32_t entries = reader.U32();
  if (entries > plan_.frames) Refuse("more frames are asked for than there are");
  std::vector<State> next = states_;
  std::vector<uint8_t> values;
  for (uint32_t n = 0, least = 0; n < entries; ++n) {
    const uint32_t f = reader.U32(), pooled = reader.U32(), chosen = reader.U32();
    if (f < least || f >= plan_.frames) Refuse("frames are asked for in ascending order");
    least = f + 1;
    State& state = next[f];
    if (pooled > plan_.punctured - state.revealed || pooled + uint64_t{chosen} == 0) Refuse("more punctured bits are asked for than there are");
    if (chosen > plan_.BitsOf(f) - state.chosen.size()) Refuse("more bits of the key are asked for than there are");
    const LdpcFrame layout(code_, plan_.BitsOf(f));
    for (uint32_t i = 0; i < pooled; ++i) values.push_back(BitAt(mask_, uint64_t{f} * MaskBytesOf(plan_) * 8 + state.revealed + i));
    state.revealed += pooled;
    const size_t before = state.chosen.size();
    for (uint32_t i = 0; i < chosen; ++i) {
      const uint32_t place = reader.U32();
      const uint32_t bit = place < kLdpcFrameBits ? layout.KeyBit(place) : UINT32_MAX;
      if (bit == UINT32_MAX || (i > 0 && place <= state.chosen.back())) Refuse("a place that is asked for is not one of the key, or not in order");
      if (std::binary_search(state.chosen.begin(), state.chosen.begin() + static_cast<ptrdiff_t>(before), place)) Refuse("a place is asked for twice");
      state.chosen.push_back(place);
      values.push_back(BitAt(bits_, First(f) + bit));
    }
    std::inplace_merge(state.chosen.begin(), state.chosen.begin() + static_cast<ptrdiff_t>(before), state.chosen.end());
  }
  reader.End();
  states_ = std::move(next);
  if (entries == 0) {
    done_ = true;
    return;
  }
  ldpc::Writer writer;
  writer.U8(ldpc::kValues);
  writer.U16(static_cast<uint16_t>(rounds_));
  writer.Bits(values);
  Wipe(values);
  due_ = writer.Take();
  leaked_bits_ += LdpcLeakedBits(due_);
}

LdpcBob::LdpcBob(uint32_t length_bits, std::span<const uint8_t> bits, LdpcImpl impl) : impl_(impl), bits_(bits.begin(), bits.end()) {
  Require(length_bits >= kLdpcBlockBitsMin && length_bits <= kLdpcBlockBitsMax, "LDPC takes 2^18 to 2^27 bits");
  Require(bits.size() == (length_bits + 7) / 8, "a block has as many bytes as its bits need");
  Require(LdpcSupported(impl), "this processor has the instructions of the decoder");
  plan_.length_bits = length_bits;
}

LdpcBob::~LdpcBob() {
  Wipe(bits_);
  for (State& state : states_) {
    Wipe(state.syndrome);
    Wipe(state.errors);
    Wipe(state.known);
  }
}

std::vector<uint8_t> LdpcBob::Message() {
  if (!due_.empty()) ++rounds_;
  return std::exchange(due_, {});
}

void LdpcBob::Receive(std::span<const uint8_t> message) {
  if (done_ || !due_.empty()) Refuse("a message out of turn");
  if (states_.empty()) Begin(message);
  else TakeValues(message);
  leaked_bits_ += LdpcLeakedBits(message);
  DecodeAll();
}

void LdpcBob::Begin(std::span<const uint8_t> message) {
  ldpc::Reader reader(message);
  if (reader.U8() != ldpc::kSyndromes) Refuse("not the syndromes");
  const LdpcPlan plan = ldpc::ReadPlan(reader);
  if (plan.length_bits != plan_.length_bits || !HasRows(plan.rows)) Refuse("another length, or an unknown code");
  if (plan.frames > plan.length_bits / (kLdpcBlockBitsMin / 2) || plan.FrameBits() > LdpcFrame::Capacity(plan.rows) ||
      plan.punctured > LdpcFrame::Pool(plan.rows)) Refuse("an impossible cut into frames");
  reader.Expect(plan.SyndromeBits() / 8);
  plan_ = plan;
  code_ = LdpcCodeOf(plan.rows);
  states_.resize(plan.frames);
  std::vector<uint64_t> frame(kLdpcFrameBits / 64);
  std::vector<uint64_t> own(code_->syndrome_bits() / 64);
  for (uint32_t f = 0; f < plan_.frames; ++f) {
    State& state = states_[f];
    state.syndrome.resize(own.size());
    reader.Copy(state.syndrome.data(), own.size() * sizeof(uint64_t));
    LdpcFrame(code_, plan_.BitsOf(f)).Spread(bits_, First(f), frame.data());
    code_->Syndrome(frame.data(), own.data());
    for (size_t i = 0; i < own.size(); ++i) state.syndrome[i] ^= own[i];
  }
  Wipe(frame);
}

void LdpcBob::TakeValues(std::span<const uint8_t> message) {
  ldpc::Reader reader(message);
  if (reader.U8() != ldpc::kValues || reader.U16() != rounds_) Refuse("not the values of this round");
  uint64_t asked = 0;
  for (const State& state : states_) asked += state.pooled + state.asked.size();
  if (reader.U32() != asked) Refuse("other values than were asked for");
  const auto values = reader.Rest((asked + 7) / 8);
  uint64_t at = 0;
  for (uint32_t f = 0; f < plan_.frames; ++f) {
    State& state = states_[f];
    if (state.pooled + state.asked.size() == 0) continue;
    const LdpcFrame layout(code_, plan_.BitsOf(f));
    for (uint32_t i = 0; i < state.pooled; ++i) state.known.push_back({layout.PoolPlace(state.revealed + i), BitAt(values, at++)});
    state.revealed += state.pooled;
    for (const uint32_t place : state.asked) {
      state.known.push_back({place, BitAt(values, at++) != BitAt(bits_, First(f) + layout.KeyBit(place))});
    }
    state.pooled = 0;
    state.asked.clear();
  }
}

void LdpcBob::DecodeAll() {
  LdpcDecoder decoder(code_, impl_);
  ldpc::Writer writer;
  uint32_t open = 0;
  for (uint32_t f = 0; f < plan_.frames; ++f) {
    State& state = states_[f];
    if (state.solved) continue;
    const LdpcFrame layout(code_, plan_.BitsOf(f));
    Decode(state, layout, decoder);
    if (state.solved || rounds_ >= kRoundsMax) continue;
    Ask(state, layout, decoder);
    writer.U32(f);
    writer.U32(state.pooled);
    writer.U32(static_cast<uint32_t>(state.asked.size()));
    for (const uint32_t place : state.asked) writer.U32(place);
    ++open;
  }
  ldpc::Writer head;
  head.U8(ldpc::kAsk);
  head.U16(static_cast<uint16_t>(rounds_ + 1));
  head.U32(open);
  const auto entries = writer.Take();
  head.Bytes(entries.data(), entries.size());
  due_ = head.Take();
  done_ = open == 0;
}

void LdpcBob::Decode(State& state, const LdpcFrame& frame, LdpcDecoder& decoder) {
  decoder.Start();
  frame.EachShortened(plan_.punctured, [&](uint32_t place) { decoder.SetKnown(place, false); });
  for (uint32_t i = state.revealed; i < plan_.punctured; ++i) decoder.SetUnknown(frame.PoolPlace(i));
  for (const Known& known : state.known) decoder.SetKnown(known.place, known.error);
  const LdpcResult result = decoder.Run(state.syndrome.data(), kIterations);
  iterations_ += result.iterations;
  state.solved = result.converged;
  if (!state.solved) return;
  state.errors.resize(kLdpcFrameBits / 64);
  decoder.Errors(state.errors.data());
}

void LdpcBob::Ask(State& state, const LdpcFrame& frame, const LdpcDecoder& decoder) {
  const bool knot = decoder.unsatisfied() < kKnot;
  state.pooled = knot ? 0 : std::min(plan_.punctured - state.revealed, Step(*code_));
  if (state.pooled > 0) return;
  // The least sure places of the key: counted first, so that the last degree of certainty taken is known.
  std::vector<bool> known(kLdpcFrameBits, false);
  for (const Known& one : state.known) known[one.place] = true;
  const auto each = [&](auto body) {
    for (uint32_t place = 0; place < kLdpcFrameBits; ++place) {
      if (!known[place] && frame.KeyBit(place) != UINT32_MAX) body(place, decoder.Certainty(place));
    }
  };
  uint32_t counts[ldpc::kMagnitudeMax + 2] = {};
  each([&](uint32_t, uint32_t certainty) { ++counts[certainty]; });
  uint32_t wanted = knot ? kKnotBits : Step(*code_);
  uint32_t limit = 0;
  while (limit <= ldpc::kMagnitudeMax && counts[limit] < wanted) wanted -= counts[limit++];
  each([&](uint32_t place, uint32_t certainty) {
    if (certainty < limit || (certainty == limit && wanted > 0)) {
      state.asked.push_back(place);
      if (certainty == limit) --wanted;
    }
  });
}

uint32_t LdpcBob::failed() const {
  return static_cast<uint32_t>(std::count_if(states_.begin(), states_.end(), [](const State& state) { return !state.solved; }));
}

void LdpcBob::Correct(std::span<uint8_t> bits) const {
  Require(bits.size() == bits_.size(), "the bits that are corrected are the block's");
  for (uint32_t f = 0; f < plan_.frames; ++f) {
    if (states_[f].solved) LdpcFrame(code_, plan_.BitsOf(f)).Flip(states_[f].errors.data(), bits, First(f));
  }
}

}  // namespace qkme::post
