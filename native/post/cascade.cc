#include "post/cascade.h"

#include <algorithm>
#include <cstring>

#include "gf128.h"
#include "post/error.h"

namespace qkme::post {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr uint32_t kLanesMax = 64;
constexpr uint32_t kStride = 16;
constexpr uint64_t kCheckMask = (1ull << kCheckBits) - 1;

void PutU32(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> 8 * i);
}

uint32_t GetU32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 | static_cast<uint32_t>(at[3]) << 24;
}

bool BitAt(const uint8_t* bits, size_t i) { return bits[i >> 3] >> (i & 7) & 1; }

/// `count` (1 to 64) bits from bit `from` on; what lies beyond the end is 0.
uint64_t LoadBits(std::span<const uint8_t> bits, size_t from, uint32_t count) {
  uint8_t bytes[16] = {};
  const size_t first = from >> 3;
  if (first < bits.size()) std::memcpy(bytes, bits.data() + first, std::min<size_t>(9, bits.size() - first));
  uint64_t low = 0;
  std::memcpy(&low, bytes, 8);
  const uint32_t shift = from & 7;
  uint64_t word = low >> shift;
  if (shift != 0) word |= static_cast<uint64_t>(bytes[8]) << (64 - shift);
  return count == 64 ? word : word & BitsBelow(count);
}

}  // namespace

Cascade::Cascade(const CascadeOptions& options, std::span<const uint8_t> bits) : seed_(options.seed), length_bits_(options.length_bits) {
  Require(length_bits_ >= 2 && length_bits_ <= kCascadeBitsMax, "Cascade takes 2 to 2^27 bits");
  Require(options.frame_bits >= 64 && options.frame_bits <= 1u << 24, "a frame has 64 to 2^24 bits");
  Require(bits.size() == (size_t{length_bits_} + 7) / 8, "packed bits have (length + 7) / 8 bytes");
  const uint32_t wanted = std::max(1u, (length_bits_ + options.frame_bits / 2) / options.frame_bits);
  lanes_ = std::min(wanted, kLanesMax);
  groups_ = (wanted + kLanesMax - 1) / kLanesMax;
  const uint64_t rows = (uint64_t{length_bits_} + lanes_ - 1) / lanes_;
  frame_bits_ = std::max<uint32_t>(2, static_cast<uint32_t>((rows + groups_ - 1) / groups_));
  plan_ = PlanCascade(options.variant, frame_bits_, options.error_ppm);
  stride_ = kStride;
  SharedRandom random(seed_, kStreamCheck);
  for (size_t i = 0; i < sizeof check_key_; i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(check_key_ + i, &word, 8);
  }
  inverse_.resize(size_t{frame_bits_} * stride_);
  group_.resize(groups_);
  for (uint32_t g = 0; g < groups_; ++g) {
    Group& group = group_[g];
    group.slices = ZeroPages(frame_bits_);
    for (uint32_t place = 0; place < frame_bits_; ++place) {
      const uint64_t from = (uint64_t{place} * groups_ + g) * lanes_;
      group.slices[place] = from < length_bits_ ? LoadBits(bits, from, lanes_) : 0;
    }
    // Bits of the last byte that are no part of the key.
    for (uint32_t place = 0; place < frame_bits_; ++place) {
      const uint64_t from = (uint64_t{place} * groups_ + g) * lanes_;
      if (from + lanes_ > length_bits_ && from < length_bits_) group.slices[place] &= BitsBelow(static_cast<uint32_t>(length_bits_ - from));
    }
    group.frames.resize(lanes_);
    group.passes.reserve(plan_.block_bits.size());
    for (uint32_t lane = 0; lane < lanes_; ++lane) OpenNext(group, lane);
  }
  open_frames_ = groups_ * lanes_;
  MakeMessage();
}

Cascade::~Cascade() {
  explicit_bzero(message_.data(), message_.size());
}

void Cascade::PreparePass(uint32_t pass) {
  if (order_.size() > pass) return;
  order_.emplace_back();
  if (pass == 0) return;  // The key's own order.
  std::vector<uint32_t>& order = order_.back();
  order = MakePermutation(seed_, kStreamPass + pass, frame_bits_);
  if (pass < stride_) {
    for (uint32_t i = 0; i < frame_bits_; ++i) inverse_[size_t{order[i]} * stride_ + pass] = i;
    return;
  }
  std::vector<uint32_t>& inverse = late_inverse_.emplace_back(frame_bits_);
  for (uint32_t i = 0; i < frame_bits_; ++i) inverse[order[i]] = i;
}

void Cascade::OpenInGroup(Group& group, uint32_t pass) {
  if (group.passes.size() > pass) return;
  PreparePass(pass);
  BitRows& made = group.passes.emplace_back(lanes_, frame_bits_);
  // All lanes at once: word j holds the parity of the first j bits of each lane; 64 words are turned at a time.
  const uint32_t* const order = pass == 0 ? nullptr : order_[pass].data();
  uint64_t parity = 0, square[64];
  for (uint32_t first = 0; first <= frame_bits_; first += 64) {
    const uint32_t count = std::min(64u, frame_bits_ + 1 - first);
    for (uint32_t j = 0; j < count; ++j) {
      square[j] = parity;
      const uint32_t at = first + j;
      if (at < frame_bits_) parity ^= group.slices[order == nullptr ? at : order[at]];
    }
    for (uint32_t j = count; j < 64; ++j) square[j] = 0;
    Transpose64(square);
    for (uint32_t lane = 0; lane < lanes_; ++lane) made.PrefixWord(lane, first >> 6) = square[lane];
  }
  explicit_bzero(square, sizeof square);
}

uint32_t Cascade::AskedBlocks(uint32_t pass) const {
  const uint32_t size = plan_.block_bits[pass], blocks = (frame_bits_ + size - 1) / size;
  // After the first pass every frame is known to have an even number of errors left.
  return pass == 0 ? blocks : blocks - 1;
}

Cascade::Range Cascade::BlockAround(const BitRows& pass, uint32_t number, uint32_t lane, uint32_t at) const {
  if (plan_.keeps_pieces) return {pass.StartBefore(lane, at), pass.StartAfter(lane, at, frame_bits_)};
  const uint32_t size = plan_.block_bits[number], from = at / size * size;
  return {from, std::min(frame_bits_, from + size)};
}

/// The ranges whose parities are due in a frame, in the order of the message.
template <typename Each>
void Cascade::EachRange(const Frame& frame, Each each) const {
  switch (frame.state) {
    case Frame::State::kOpening: {
      const uint32_t pass = frame.passes - 1, size = plan_.block_bits[pass], blocks = AskedBlocks(pass);
      for (uint32_t i = 0; i < blocks; ++i) each(pass, i * size, std::min(frame_bits_, (i + 1) * size));
      return;
    }
    case Frame::State::kBisecting:
      for (const Range& range : frame.ranges) each(frame.pass, range.from, range.from + (range.to - range.from) / 2);
      return;
    case Frame::State::kDone: return;
  }
}

void Cascade::PutBits(uint64_t bits, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i, ++asked_now_) {
    if ((asked_now_ & 7) == 0) message_.push_back(0);
    message_.back() |= static_cast<uint8_t>((bits >> i & 1) << (asked_now_ & 7));
  }
}

void Cascade::MakeMessage() {
  message_.assign(kHeaderBytes, 0);
  asked_now_ = 0;
  for (Group& group : group_) {
    for (uint32_t lane = 0; lane < lanes_; ++lane) {
      Frame& frame = group.frames[lane];
      if (round_ == 0) {
        frame.check = Check(group, lane, false);
        PutBits(frame.check, kCheckBits);
      }
      EachRange(frame, [&](uint32_t pass, uint32_t from, uint32_t to) { PutBits(group.passes[pass].Own(lane, from, to), 1); });
    }
  }
  PutU32(message_.data(), round_);
  PutU32(message_.data() + 4, static_cast<uint32_t>(asked_now_));
}

/// Check of a frame's own bits, or of the places found to be wrong (then without the term of the length, which cancels).
uint64_t Cascade::Check(const Group& group, uint32_t lane, bool found) const {
  const BitRows& first = group.passes[0];  // in the order of the frame
  const uint32_t words = (frame_bits_ >> 6) + 1;
  std::vector<uint64_t> bits(words + 1);
  for (uint32_t i = 0; i < words; ++i) bits[i] = found ? first.FoundWord(lane, i) : first.OwnWord(lane, i);
  const auto hash = [&] {
    PolyHash state(check_key_);
    state.Update(reinterpret_cast<const uint8_t*>(bits.data()), words * sizeof bits[0]);
    uint8_t out[kGfBytes];
    state.Final(out);
    uint64_t low = 0;
    std::memcpy(&low, out, sizeof low);
    return low & kCheckMask;
  };
  uint64_t result = hash();
  explicit_bzero(bits.data(), bits.size() * sizeof bits[0]);
  if (found) result ^= hash();
  return result;
}

bool Cascade::Solved(const Group& group, uint32_t lane) const { return Check(group, lane, true) == group.frames[lane].check; }

void Cascade::End(Frame& frame, bool good) {
  frame.state = Frame::State::kDone;
  frame.ranges.clear();
  --open_frames_;
  if (!good) ++given_up_;
}

void Cascade::Receive(std::span<const uint8_t> message) {
  if (done()) throw PostError("PROTOCOL", "Cascade: a message after the last round");
  if (message.size() != message_.size() || GetU32(message.data()) != round_ || GetU32(message.data() + 4) != asked_now_) {
    throw PostError("PROTOCOL", "Cascade: round " + std::to_string(round_) + " needs " + std::to_string(asked_now_) + " bits; the other side sent another message");
  }
  if ((asked_now_ & 7) != 0 && message.back() >> (asked_now_ & 7) != 0) throw PostError("PROTOCOL", "Cascade: bits behind the last one");
  differ_.resize(message.size() - kHeaderBytes);
  for (size_t i = 0; i < differ_.size(); ++i) differ_[i] = message[kHeaderBytes + i] ^ message_[kHeaderBytes + i];
  leaked_bits_ += asked_now_;
  ++round_;
  size_t at = 0;
  for (Group& group : group_) {
    for (uint32_t lane = 0; lane < lanes_; ++lane) Take(group, lane, differ_.data(), at);
  }
  MakeMessage();
}

void Cascade::Take(Group& group, uint32_t lane, const uint8_t* differ, size_t& at) {
  Frame& frame = group.frames[lane];
  if (frame.state == Frame::State::kDone) return;
  if (round_ == 1) {
    uint64_t other = 0;
    for (uint32_t i = 0; i < kCheckBits; ++i) other |= static_cast<uint64_t>(BitAt(differ, at++)) << i;
    frame.check = other;
  }
  const size_t before = at;
  if (frame.state == Frame::State::kOpening) FinishOpening(group, lane, differ, at);
  else Bisect(group, lane, differ, at);
  frame.asked += static_cast<uint32_t>(at - before);
  if (frame.asked > frame_bits_) return End(frame, false);
  if (frame.ranges.empty()) Continue(group, lane);
}

void Cascade::FinishOpening(Group& group, uint32_t lane, const uint8_t* differ, size_t& at) {
  Frame& frame = group.frames[lane];
  const uint32_t pass = frame.passes - 1, size = plan_.block_bits[pass], asked = AskedBlocks(pass);
  BitRows& made = group.passes[pass];
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < frame.wrong.size(); ++i) {
    if (i + kAhead < frame.wrong.size()) __builtin_prefetch(&inverse_[size_t{frame.wrong[i + kAhead]} * stride_ + pass]);
    made.FlipFound(lane, PlaceIn(pass, frame.wrong[i]));
  }
  bool all = false;
  const uint32_t blocks = (frame_bits_ + size - 1) / size;
  for (uint32_t i = 0; i < blocks; ++i) {
    const uint32_t from = i * size, to = std::min(frame_bits_, from + size);
    bool odd = all;  // of the block that was not asked
    if (i < asked) {
      odd = BitAt(differ, at++);
      if (!frame.wrong.empty()) odd ^= made.Found(lane, from, to);
      all ^= odd;
    }
    if (plan_.keeps_pieces) made.SetStart(lane, from);
    if (!odd) continue;
    made.FlipOdd(lane, from);
    frame.odd_blocks[pass].push_back(from);
  }
  frame.state = Frame::State::kBisecting;
}

void Cascade::Bisect(Group& group, uint32_t lane, const uint8_t* differ, size_t& at) {
  Frame& frame = group.frames[lane];
  BitRows& pass = group.passes[frame.pass];
  size_t kept = 0;
  for (size_t i = 0; i < frame.ranges.size(); ++i) {
    Range range = frame.ranges[i];
    const uint32_t middle = range.from + (range.to - range.from) / 2;
    const bool odd = BitAt(differ, at++) ^ pass.Found(lane, range.from, middle);
    if (plan_.keeps_pieces) pass.SetStart(lane, middle);
    if (odd) range.to = middle;
    else range.from = middle;
    if (range.to - range.from == 1) Found(group, lane, frame.pass, range.from);
    else frame.ranges[kept++] = range;
  }
  frame.ranges.resize(kept);
}

/// The place that stands at `at` in the order of `pass` is wrong.
void Cascade::Found(Group& group, uint32_t lane, uint32_t pass, uint32_t at) {
  Frame& frame = group.frames[lane];
  const uint32_t place = pass == 0 ? at : order_[pass][at];
  frame.wrong.push_back(place);
  ++corrected_;
  for (uint32_t other = 0; other < frame.passes; ++other) {
    BitRows& made = group.passes[other];
    const uint32_t there = PlaceIn(other, place);
    made.FlipFound(lane, there);
    if (other == pass) continue;
    const uint32_t from = BlockAround(made, other, lane, there).from;
    if (made.FlipOdd(lane, from)) frame.odd_blocks[other].push_back(from);
  }
}

/// Finds the next ranges to bisect, or opens the next pass, or ends.
void Cascade::Continue(Group& group, uint32_t lane) {
  Frame& frame = group.frames[lane];
  while (TakeOddBlocks(group, lane)) {
    if (!frame.ranges.empty()) return;
    // Pieces of one bit need no question. Parities that contradict each other, which only a liar sends, would turn
    // such a bit to and fro for ever.
    if (frame.wrong.size() > 2 * size_t{frame_bits_}) return End(frame, false);
  }
  if (frame.checked_found != frame.wrong.size()) {
    frame.checked_found = frame.wrong.size();
    if (Solved(group, lane)) return End(frame, true);
  }
  if (frame.passes == plan_.block_bits.size()) return End(frame, false);
  OpenNext(group, lane);
}

/// Takes all odd blocks of the lowest pass that has any. False: there is none.
bool Cascade::TakeOddBlocks(Group& group, uint32_t lane) {
  Frame& frame = group.frames[lane];
  for (uint32_t number = 0; number < frame.passes; ++number) {
    if (frame.odd_blocks[number].empty()) continue;
    BitRows& pass = group.passes[number];
    const std::vector<uint32_t> starts = std::move(frame.odd_blocks[number]);
    frame.odd_blocks[number].clear();
    frame.pass = number;
    bool any = false;
    for (const uint32_t start : starts) {
      if (!pass.Odd(lane, start)) continue;
      any = true;
      pass.FlipOdd(lane, start);  // The bisection leaves only even pieces, and names it once.
      const Range range = BlockAround(pass, number, lane, start);
      if (range.to - range.from == 1) Found(group, lane, number, start);
      else frame.ranges.push_back(range);
    }
    if (any) return true;
  }
  return false;
}

void Cascade::OpenNext(Group& group, uint32_t lane) {
  Frame& frame = group.frames[lane];
  OpenInGroup(group, frame.passes);
  ++frame.passes;
  frame.odd_blocks.emplace_back();
  frame.state = Frame::State::kOpening;
}

void Cascade::Correct(std::span<uint8_t> bits) const {
  Require(bits.size() == (size_t{length_bits_} + 7) / 8, "packed bits have (length + 7) / 8 bytes");
  for (uint32_t g = 0; g < groups_; ++g) {
    for (uint32_t lane = 0; lane < lanes_; ++lane) {
      for (const uint32_t place : group_[g].frames[lane].wrong) {
        const uint64_t at = (uint64_t{place} * groups_ + g) * lanes_ + lane;
        if (at < length_bits_) bits[at >> 3] ^= static_cast<uint8_t>(1u << (at & 7));
      }
    }
  }
}

}  // namespace qkme::post
