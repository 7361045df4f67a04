#include "post/cascade.h"

#include <algorithm>
#include <cstring>

#include "post/error.h"

namespace qkme::post {
namespace {

constexpr size_t kHeaderBytes = 8;

void PutU32(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> 8 * i);
}

uint32_t GetU32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 | static_cast<uint32_t>(at[3]) << 24;
}

bool BitAt(const uint8_t* bits, size_t i) { return bits[i >> 3] >> (i & 7) & 1; }

/// Appends bits to a message, a word at a time. Wipes nothing: what it holds goes to the message.
class BitWriter {
 public:
  explicit BitWriter(std::vector<uint8_t>& out) : out_(out) {}
  /// `count` (at most 64) bits; those above are 0.
  void Put(uint64_t bits, uint32_t count) {
    word_ |= bits << fill_;
    total_ += count;
    if (fill_ + count < 64) {
      fill_ += count;
      return;
    }
    Append(8);
    word_ = fill_ == 0 ? 0 : bits >> (64 - fill_);
    fill_ = fill_ + count - 64;
  }
  /// Number of bits.
  size_t End() {
    Append((fill_ + 7) / 8);
    return total_;
  }

 private:
  void Append(size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) out_.push_back(static_cast<uint8_t>(word_ >> 8 * i));
  }

  std::vector<uint8_t>& out_;
  uint64_t word_ = 0;
  uint32_t fill_ = 0;
  size_t total_ = 0;
};

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
  Deal(bits);
  open_frames_ = groups_ * lanes_;
  open_.resize(open_frames_);
  for (uint32_t i = 0; i < open_frames_; ++i) open_[i] = i;
  MakeMessage();
}

Cascade::~Cascade() {
  explicit_bzero(message_.data(), message_.size());
}

uint32_t Cascade::AskedBlocks(uint32_t pass) const {
  const uint32_t size = plan_.block_bits[pass], blocks = (frame_bits_ + size - 1) / size;
  // After the first pass every frame is known to have an even number of errors left.
  return pass == 0 ? blocks : blocks - 1;
}

Cascade::Range Cascade::BlockAround(const BitRow& row, uint32_t pass, uint32_t at) const {
  const uint32_t from = BlockStart(row, pass, at);
  return {from, plan_.keeps_pieces ? row.StartAfter(at, frame_bits_) : std::min(frame_bits_, from + plan_.block_bits[pass])};
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
      for (size_t i = 0; i < frame.ranges.size(); ++i) {
        if (i + kRangesAhead < frame.ranges.size()) Prefetch(frame.rows[frame.pass], frame.ranges[i + kRangesAhead]);
        each(frame.pass, frame.ranges[i].from, frame.ranges[i].Middle());
      }
      return;
    case Frame::State::kDone: return;
  }
}

void Cascade::MakeMessage() {
  message_.assign(kHeaderBytes, 0);
  BitWriter writer(message_);
  for (const uint32_t number : open_) {
    Frame& frame = group_[number / lanes_].frames[number % lanes_];
    if (round_ == 0) {
      frame.check = Check(frame, false);
      writer.Put(frame.check, kCheckBits);
    }
    EachRange(frame, [&](uint32_t pass, uint32_t from, uint32_t to) { writer.Put(frame.rows[pass].Own(from, to), 1); });
  }
  asked_now_ = writer.End();
  PutU32(message_.data(), round_);
  PutU32(message_.data() + 4, static_cast<uint32_t>(asked_now_));
}

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
  for (const uint32_t number : open_) Take(group_[number / lanes_], number % lanes_, differ_.data(), at);
  std::erase_if(open_, [this](uint32_t number) { return group_[number / lanes_].frames[number % lanes_].state == Frame::State::kDone; });
  MakeMessage();
}

void Cascade::Take(Group& group, uint32_t lane, const uint8_t* differ, size_t& at) {
  Frame& frame = group.frames[lane];
  if (round_ == 1) {
    uint64_t other = 0;
    for (uint32_t i = 0; i < kCheckBits; ++i) other |= static_cast<uint64_t>(BitAt(differ, at++)) << i;
    frame.check = other;
  }
  const size_t before = at;
  if (frame.state == Frame::State::kOpening) FinishOpening(frame, differ, at);
  else Bisect(frame, differ, at);
  frame.asked += static_cast<uint32_t>(at - before);
  if (frame.asked > frame_bits_) return End(frame, false);
  if (frame.ranges.empty()) Continue(group, lane);
}

void Cascade::FinishOpening(Frame& frame, const uint8_t* differ, size_t& at) {
  const uint32_t pass = frame.passes - 1, size = plan_.block_bits[pass], asked = AskedBlocks(pass);
  BitRow& row = frame.rows[pass];
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < frame.wrong.size(); ++i) {
    if (i + 2 * kAhead < frame.wrong.size()) PrefetchPlaceIn(pass, frame.wrong[i + 2 * kAhead]);
    if (i + kAhead < frame.wrong.size()) row.Prefetch(PlaceIn(pass, frame.wrong[i + kAhead]));
    row.FlipFound(PlaceIn(pass, frame.wrong[i]));
  }
  bool all = false;
  const uint32_t blocks = (frame_bits_ + size - 1) / size;
  for (uint32_t i = 0; i < blocks; ++i) {
    const uint32_t from = i * size, to = std::min(frame_bits_, from + size);
    bool odd = all;  // of the block that was not asked
    if (i < asked) {
      odd = BitAt(differ, at++);
      if (!frame.wrong.empty()) odd ^= row.Found(from, to);
      all ^= odd;
    }
    if (plan_.keeps_pieces) row.SetStart(from);
    if (!odd) continue;
    row.FlipOdd(from);
    frame.odd_blocks[pass].push_back(from);
  }
  frame.state = Frame::State::kBisecting;
}

void Cascade::Bisect(Frame& frame, const uint8_t* differ, size_t& at) {
  BitRow& row = frame.rows[frame.pass];
  size_t kept = 0;
  singled_.clear();
  for (size_t i = 0; i < frame.ranges.size(); ++i) {
    if (i + kRangesAhead < frame.ranges.size()) Prefetch(row, frame.ranges[i + kRangesAhead]);
    Range range = frame.ranges[i];
    const uint32_t middle = range.Middle();
    const bool odd = BitAt(differ, at++) ^ row.Found(range.from, middle);
    if (plan_.keeps_pieces) row.SetStart(middle);
    // Nobody can foresee which half it is: no branch.
    const uint32_t half = 0u - static_cast<uint32_t>(odd);
    range.to ^= (range.to ^ middle) & half;
    range.from ^= (range.from ^ middle) & ~half;
    if (range.to - range.from == 1) {
      singled_.push_back(range.from);
    } else {
      row.Prefetch(range.Middle());
      frame.ranges[kept++] = range;
    }
  }
  frame.ranges.resize(kept);
  // Ranges of one pass do not overlap, so none of these places lies in a range that was still to be looked at.
  Found(frame, frame.pass, singled_);
}

/// The bits that stand at `places` in the order of `pass` are wrong. Each is marked in every pass, at places that have nothing to do
/// with each other: all are fetched before the first one is used, or each would be waited for.
void Cascade::Found(Frame& frame, uint32_t pass, std::span<const uint32_t> places) {
  constexpr size_t kAhead = 16;
  uint32_t wrong[kAhead];
  for (size_t done = 0; done < places.size(); done += kAhead) {
    const size_t count = std::min(kAhead, places.size() - done);
    for (size_t i = 0; i < count; ++i) {
      wrong[i] = pass == 0 ? places[done + i] : order_[pass][places[done + i]];
      for (uint32_t other = 1; other < frame.passes; other = other < kStride ? kStride : other + 1) PrefetchPlaceIn(other, wrong[i]);
    }
    for (size_t i = 0; i < count; ++i) {
      for (uint32_t other = 0; other < frame.passes; ++other) frame.rows[other].Prefetch(PlaceIn(other, wrong[i]));
    }
    for (size_t i = 0; i < count; ++i) Mark(frame, pass, wrong[i]);
  }
}

void Cascade::Mark(Frame& frame, uint32_t pass, uint32_t place) {
  frame.wrong.push_back(place);
  ++corrected_;
  for (uint32_t other = 0; other < frame.passes; ++other) {
    BitRow& row = frame.rows[other];
    const uint32_t there = PlaceIn(other, place);
    row.FlipFound(there);
    if (other == pass) continue;
    const uint32_t from = BlockStart(row, other, there);
    if (row.FlipOdd(from)) frame.odd_blocks[other].push_back(from);
  }
}

/// Finds the next ranges to bisect, or opens the next pass, or ends.
void Cascade::Continue(Group& group, uint32_t lane) {
  Frame& frame = group.frames[lane];
  while (TakeOddBlocks(frame)) {
    if (!frame.ranges.empty()) return;
    // Pieces of one bit need no question. Parities that contradict each other, which only a liar sends, would turn
    // such a bit to and fro for ever.
    if (frame.wrong.size() > 2 * size_t{frame_bits_}) return End(frame, false);
  }
  if (frame.checked_found != frame.wrong.size()) {
    frame.checked_found = frame.wrong.size();
    if (Solved(frame)) return End(frame, true);
  }
  if (frame.passes == plan_.block_bits.size()) return End(frame, false);
  OpenNext(group, lane);
}

/// Takes all odd blocks of the lowest pass that has any. False: there is none.
bool Cascade::TakeOddBlocks(Frame& frame) {
  for (uint32_t number = 0; number < frame.passes; ++number) {
    if (frame.odd_blocks[number].empty()) continue;
    BitRow& row = frame.rows[number];
    const std::vector<uint32_t> starts = std::move(frame.odd_blocks[number]);
    frame.odd_blocks[number].clear();
    frame.pass = number;
    bool any = false;
    for (const uint32_t start : starts) {
      if (!row.Odd(start)) continue;
      any = true;
      row.FlipOdd(start);  // The bisection leaves only even pieces, and names it once.
      const Range range = BlockAround(row, number, start);
      if (range.to - range.from == 1) {
        Found(frame, number, {&start, 1});
      } else {
        row.Prefetch(range.Middle());
        frame.ranges.push_back(range);
      }
    }
    if (any) return true;
  }
  return false;
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
