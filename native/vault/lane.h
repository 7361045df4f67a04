// A lane's cursor over leased stretches of blocks. It only moves forward, and no call takes an offset:
// this is where "no byte is cut twice" is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "vault/block.h"

namespace qkme::vault {

/// Keys start at multiples of this: a place is an offset in these units.
inline constexpr uint32_t kPlaceBytes = 8;

constexpr uint32_t RoundUpToPlace(uint32_t bytes) { return (bytes + kPlaceBytes - 1) / kPlaceBytes * kPlaceBytes; }

/// `count` keys that follow each other in one block, the first at `offset`, kPlaceBytes-aligned.
struct Run {
  Block* block;
  uint32_t offset;
  uint32_t count;
};

class Lane {
 public:
  Lane() = default;
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// Leases [from, to) of `block`, behind everything leased so far. Continues the last stretch if it is the same
  /// block and ends at `from`; any other push makes that one final, as if it had been pushed with `last`. `last`
  /// says that nothing behind `to` will be leased: a key that does not fit any more skips to the next block.
  /// `from`, and `to` unless `last`, are multiples of kPlaceBytes. Pins the frames it covers, which are loaded.
  /// @throws InvariantError, also if a byte was given a purpose before.
  void Push(Block* block, uint32_t from, uint32_t to, bool last);
  /// Leased bytes not yet cut.
  uint64_t Left() const;
  /// The stretch of the next byte; false if nothing is leased.
  bool Cursor(uint64_t* block_number, uint32_t* offset) const;
  /// How many stretches at the front are cut to their end: what Trim would forget.
  uint32_t Done() const;
  /// Forgets stretches that are cut to their end; returns how many.
  uint32_t Trim();

  /// Whether `count` keys of `size` bytes can be cut now.
  bool Fits(uint32_t count, uint32_t size) const;
  /// Finds the runs of `count` keys of `size` bytes without moving: at most `runs_max`. Returns how many runs, 0 if
  /// they do not fit. `skipped` receives the bytes that are passed over at block ends.
  uint32_t Plan(uint32_t count, uint32_t size, Run* runs, uint32_t runs_max, uint32_t* skipped) const;
  /// Moves the cursor over what Plan found; unpins and wipes the frames it has passed.
  void Advance(uint32_t count, uint32_t size);

  /// Leased bytes that follow the cursor in one block.
  uint32_t RunBytes() const;
  /// The block of the cursor and the offset in it; RunBytes() is not 0.
  Block* Front(uint32_t* offset);
  /// Moves the cursor over `length` bytes of the run, rounded up to a place; unpins and wipes the frames it has passed.
  void Pass(uint32_t length);

 private:
  struct Stretch {
    Block* block;
    uint32_t cursor;
    uint32_t to;
    bool last;
    uint32_t pinned_from;  ///< frames [pinned_from, pinned_to) are pinned by this stretch
    uint32_t pinned_to;
  };
  Stretch* Current();
  static uint32_t KeysIn(const Stretch& stretch, uint32_t size);
  static void ReleasePassed(Stretch* stretch);

  std::deque<Stretch> stretches_;
};

}  // namespace qkme::vault
