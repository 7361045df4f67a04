// Cascade: how its books are made. What a party knows of each pass is laid out here, from its own bits and the shared seed.
#include <algorithm>
#include <cstring>

#include "gf128.h"
#include "post/cascade.h"
#include "post/error.h"

namespace qkme::post {
namespace {

constexpr uint64_t kCheckMask = (1ull << kCheckBits) - 1;

/// `count` (1 to 64) bits from bit `from` on; what lies beyond the end is 0.
uint64_t LoadBits(std::span<const uint8_t> bits, size_t from, uint32_t count) {
  uint8_t bytes[16] = {};
  const size_t first = from >> 3;
  if (first + 9 <= bits.size()) std::memcpy(bytes, bits.data() + first, 9);
  else if (first < bits.size()) std::memcpy(bytes, bits.data() + first, bits.size() - first);
  uint64_t low = 0;
  std::memcpy(&low, bytes, 8);
  const uint32_t shift = from & 7;
  uint64_t word = low >> shift;
  if (shift != 0) word |= static_cast<uint64_t>(bytes[8]) << (64 - shift);
  return count == 64 ? word : word & BitsBelow(count);
}

/// Bit i of it: parity of the bits 0 .. i of `bits`.
uint64_t Parities(uint64_t bits) {
  for (uint32_t step = 1; step < 64; step *= 2) bits ^= bits << step;
  return bits;
}

}  // namespace

/// Gives each frame its bits, in turn, and opens the first pass.
void Cascade::Deal(std::span<const uint8_t> bits) {
  SharedRandom random(seed_, kStreamCheck);
  for (size_t i = 0; i < sizeof check_key_; i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(check_key_ + i, &word, 8);
  }
  inverse_.resize(size_t{frame_bits_} * kStride);
  group_.resize(groups_);
  for (uint32_t g = 0; g < groups_; ++g) {
    Group& group = group_[g];
    group.slices = ZeroPages(frame_bits_);
    for (uint32_t place = 0; place < frame_bits_; ++place) {
      const uint64_t from = (uint64_t{place} * groups_ + g) * lanes_;
      if (from >= length_bits_) break;
      group.slices[place] = LoadBits(bits, from, lanes_);
      // Bits of the last byte that are no part of the key.
      if (from + lanes_ > length_bits_) group.slices[place] &= BitsBelow(static_cast<uint32_t>(length_bits_ - from));
    }
    group.frames.resize(lanes_);
    group.shared.reserve(kSharedPasses);
    for (uint32_t lane = 0; lane < lanes_; ++lane) OpenNext(group, lane);
  }
}

void Cascade::PreparePass(uint32_t pass) {
  if (order_.size() > pass) return;
  order_.emplace_back();
  if (pass == 0) return;  // The key's own order.
  std::vector<uint32_t>& order = order_.back();
  order = MakePermutation(seed_, kStreamPass + pass, frame_bits_);
  if (pass < kStride) {
    for (uint32_t i = 0; i < frame_bits_; ++i) inverse_[size_t{order[i]} * kStride + pass] = i;
    return;
  }
  std::vector<uint32_t>& inverse = late_inverse_.emplace_back(frame_bits_);
  for (uint32_t i = 0; i < frame_bits_; ++i) inverse[order[i]] = i;
}

void Cascade::OpenTogether(Group& group, uint32_t pass) {
  if (group.shared.size() > pass) return;
  BitRows& made = group.shared.emplace_back(lanes_, frame_bits_);
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
    for (uint32_t lane = 0; lane < lanes_; ++lane) made.Row(lane).SetPrefixWord(first >> 6, square[lane]);
  }
  explicit_bzero(square, sizeof square);
}

BitRows Cascade::OpenAlone(const Group& group, uint32_t lane, uint32_t pass) const {
  BitRows made(1, frame_bits_);
  BitRow row = made.Row(0);
  const std::vector<uint32_t>& order = order_[pass];
  bool before = false;
  for (uint32_t first = 0; first <= frame_bits_; first += 64) {
    const uint32_t count = std::min(64u, frame_bits_ - first);
    uint64_t bits = 0;
    for (uint32_t j = 0; j < count; ++j) bits |= (group.slices[order[first + j]] >> lane & 1) << j;
    // Bit j: parity of all bits before place first + j. What stands behind the end of the frame is not read.
    const uint64_t upto = before ? ~Parities(bits) : Parities(bits), prefix = upto << 1 | uint64_t{before};
    row.SetPrefixWord(first >> 6, prefix);
    before = upto >> 63;
  }
  return made;
}

void Cascade::OpenNext(Group& group, uint32_t lane) {
  Frame& frame = group.frames[lane];
  const uint32_t pass = frame.passes++;
  PreparePass(pass);
  if (pass < kSharedPasses) {
    OpenTogether(group, pass);
    frame.rows.push_back(group.shared[pass].Row(lane));
  } else {
    frame.rows.push_back(frame.late.emplace_back(OpenAlone(group, lane, pass)).Row(0));
  }
  frame.odd_blocks.emplace_back();
  frame.state = Frame::State::kOpening;
}

/// Check of a frame's own bits, or of the places found to be wrong (then without the term of the length, which cancels).
uint64_t Cascade::Check(const Frame& frame, bool found) const {
  const BitRow& first = frame.rows[0];  // in the order of the frame
  const uint32_t words = (frame_bits_ >> 6) + 1;
  std::vector<uint64_t> bits(words + 1);
  for (uint32_t i = 0; i < words; ++i) bits[i] = found ? first.FoundWord(i) : first.OwnWord(i);
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

}  // namespace qkme::post
