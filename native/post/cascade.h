// Cascade, information reconciliation by parities, for many frames at once.
//
// Both parties run the same object on their own bits and exchange one message per round. Classic Cascade lets Bob ask
// for parities of ranges and Alice answer. Everything Bob asks follows from which parities differed so far; so here
// each sends its own parities of the ranges that are due, both learn which differ, and both keep the same books: which
// ranges are due next, and which places were found to be wrong. Eve sees what she would see in the classic form (Alice's
// parities, and the differences), a message needs no addresses, and a round costs one way, not two.
// Bob's parities are those of his bits before any correction; both sides subtract the places found since.
//
// Leaked: one bit for each bit that Alice sends. Parities that follow from known ones are never sent: the last
// block of each pass but the first.
//
// With its first parities each side sends a check of each frame, kCheckBits of a polynomial hash under a key that
// follows from the seed. The hash is linear: the two checks differ by the check of the errors. So both sides see after each
// pass whether the places found so far are all, and a frame ends with the first pass after which they are, or gets
// more passes than its variant has. An error stays unseen with probability frame_bits / 128 / 2^40 per frame and pass; the
// caller verifies the whole with a fresh key.
//
// Order of work in a frame, as in Brassard and Salvail 1993: all odd blocks of a pass are bisected together; then the
// odd blocks of the lowest pass that has any; when none is left, the next pass is opened. Frames do not wait for
// each other: each round carries whatever is due in each of them.
//
// The bits are dealt out to the frames in turn, so that a burst of errors meets many frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "post/bit_rows.h"
#include "post/cascade_plan.h"
#include "post/shuffle.h"

namespace qkme::post {

struct CascadeOptions {
  CascadeVariant variant = CascadeVariant::kYanEtAl;
  uint32_t length_bits = 0;  ///< 2 to kCascadeBitsMax
  uint32_t frame_bits = 100'000;  ///< wanted; frames are made equally long
  uint32_t error_ppm = 20'000;  ///< expected error rate, equal at both
  Seed seed{};  ///< shared and public, drawn after the bits were measured
};

inline constexpr uint32_t kCascadeBitsMax = 1u << 27;
inline constexpr uint32_t kCheckBits = 40;
inline constexpr uint32_t kLanesMax = 64;  ///< frames of a group: bits of a word

class Cascade {
 public:
  /// `bits`: packed, least significant first, (length_bits + 7) / 8 bytes. Copied; the copy and everything made from
  /// it is wiped.
  Cascade(const CascadeOptions& options, std::span<const uint8_t> bits);
  ~Cascade();
  Cascade(const Cascade&) = delete;
  Cascade& operator=(const Cascade&) = delete;

  /// No message is due any more.
  bool done() const { return open_frames_ == 0; }
  /// The own message of this round: round u32, number of bits u32 (little endian), the bits packed. The same until
  /// the other's message was received.
  std::span<const uint8_t> Message() const { return message_; }
  /// The other's message of this round. @throws PostError PROTOCOL if it is not that; nothing has changed then.
  void Receive(std::span<const uint8_t> message);

  uint32_t round() const { return round_; }
  uint32_t frames() const { return groups_ * lanes_; }
  uint32_t frame_bits() const { return frame_bits_; }
  /// Bits that Alice sent, parities and checks (and Bob as many).
  uint64_t leaked_bits() const { return leaked_bits_; }
  /// Places found to be wrong: the errors, if verification confirms them.
  uint64_t corrected() const { return corrected_; }
  /// Frames given up: no pass is left, or they asked for more parities than they have bits.
  uint32_t given_up() const { return given_up_; }
  /// Flips the places found to be wrong: turns Bob's bits into Alice's, and hers into his.
  void Correct(std::span<uint8_t> bits) const;

 private:
  struct Range {
    uint32_t from, to;
    uint32_t Middle() const { return from + (to - from) / 2; }
  };

  struct Frame {
    enum class State : uint8_t { kOpening, kBisecting, kDone };
    State state = State::kOpening;
    uint32_t passes = 0;  ///< opened (or being opened)
    uint32_t pass = 0;    ///< whose blocks are being bisected
    uint32_t asked = 0;
    uint64_t check = 0;             ///< own; once the other's is known, the difference
    size_t checked_found = SIZE_MAX;  ///< how many wrong places were known at the last look at it
    std::vector<Range> ranges;      ///< odd, being bisected
    std::vector<uint32_t> wrong;    ///< places found, in the order of the key
    std::vector<std::vector<uint32_t>> odd_blocks;  ///< by pass: starts of blocks that became odd (may have become even again)
    std::vector<BitRow> rows;       ///< by pass
    std::vector<BitRows> late;      ///< memory of the rows from pass kSharedPasses on
  };

  struct Group {
    ZeroPages slices;  ///< bit l of word p: place p of lane l. Secret.
    std::vector<Frame> frames;
    std::vector<BitRows> shared;  ///< by pass: the rows of all frames
  };

  /// The first passes are opened for all frames of a group at once. Of later ones most frames have no need (at 2 % and
  /// option 8 one in twenty), so each gets its rows for itself.
  static constexpr uint32_t kSharedPasses = 3;
  static constexpr uint32_t kStride = 4;

  // Books (cascade_books.cc).
  void Deal(std::span<const uint8_t> bits);
  void PreparePass(uint32_t pass);
  void OpenTogether(Group& group, uint32_t pass);
  BitRows OpenAlone(const Group& group, uint32_t lane, uint32_t pass) const;
  void OpenNext(Group& group, uint32_t lane);
  uint64_t Check(const Frame& frame, bool found) const;
  bool Solved(const Frame& frame) const { return Check(frame, true) == frame.check; }

  uint32_t PlaceIn(uint32_t pass, uint32_t place) const {
    if (pass == 0) return place;
    return pass < kStride ? inverse_[size_t{place} * kStride + pass] : late_inverse_[pass - kStride][place];
  }
  void PrefetchPlaceIn(uint32_t pass, uint32_t place) const {
    __builtin_prefetch(pass < kStride ? &inverse_[size_t{place} * kStride] : &late_inverse_[pass - kStride][place]);
  }
  /// What the question of a range reads lies where nothing else was just now: it is fetched some ranges ahead.
  static constexpr size_t kRangesAhead = 8;
  static void Prefetch(const BitRow& row, const Range& range) {
    row.Prefetch(range.from);
    row.Prefetch(range.Middle());
  }
  void End(Frame& frame, bool good);
  uint32_t BlockStart(const BitRow& row, uint32_t pass, uint32_t at) const {
    return plan_.keeps_pieces ? row.StartBefore(at) : at / plan_.block_bits[pass] * plan_.block_bits[pass];
  }
  Range BlockAround(const BitRow& row, uint32_t pass, uint32_t at) const;
  uint32_t AskedBlocks(uint32_t pass) const;

  template <typename Each>
  void EachRange(const Frame& frame, Each each) const;
  void MakeMessage();
  void Take(Group& group, uint32_t lane, const uint8_t* differ, size_t& at);
  void FinishOpening(Frame& frame, const uint8_t* differ, size_t& at);
  void Bisect(Frame& frame, const uint8_t* differ, size_t& at);
  void Found(Frame& frame, uint32_t pass, std::span<const uint32_t> places);
  void Mark(Frame& frame, uint32_t pass, uint32_t place);
  void Continue(Group& group, uint32_t lane);
  bool TakeOddBlocks(Frame& frame);

  CascadePlan plan_;
  Seed seed_;
  uint32_t length_bits_, frame_bits_, lanes_, groups_;
  std::vector<std::vector<uint32_t>> order_;  ///< by pass: order_[i][j] is the place that stands at j
  std::vector<uint32_t> inverse_;             ///< [place * kStride + pass]: where the place stands
  std::vector<std::vector<uint32_t>> late_inverse_;  ///< the same for passes from kStride on, which are rare
  std::vector<Group> group_;
  std::vector<uint32_t> open_;  ///< group * lanes_ + lane of the frames that were open at the last message
  std::vector<uint8_t> message_, differ_;
  std::vector<uint32_t> singled_;  ///< places that a bisection has just come down to
  uint8_t check_key_[16];
  size_t asked_now_ = 0;
  uint32_t round_ = 0, open_frames_ = 0, given_up_ = 0;
  uint64_t leaked_bits_ = 0, corrected_ = 0;
};

}  // namespace qkme::post
