// A block: up to 16 frames whose payloads, one after the other, are its bytes. Knows which of them are
// in the arena and which have been given a purpose in this process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "record.h"
#include "vault/arena.h"

namespace qkme::vault {

class Block {
 public:
  static constexpr size_t kFramesMax = 16;
  /// The last bytes are k1, k2, k3 of the confirmation and serve nothing else.
  static constexpr uint32_t kConfirmBytes = 48;

  /// `epoch`: handle of the ID epoch key, or 0. @throws InvariantError on an impossible shape.
  Block(Arena* arena, uint64_t number, uint32_t epoch, const uint32_t* frame_bytes, size_t frames);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  uint64_t number() const { return number_; }
  /// What a key ID has of the number: its low 32 bits.
  uint32_t number_in_id() const { return static_cast<uint32_t>(number_); }
  /// The first three numbers that every taking tells: the low and the high half of the block's number, and `place`.
  void TellPlace(uint32_t place, uint32_t* taken) const {
    taken[0] = static_cast<uint32_t>(number_);
    taken[1] = static_cast<uint32_t>(number_ >> 32);
    taken[2] = place;
  }
  uint32_t epoch() const { return epoch_; }
  uint32_t frames() const { return frames_; }
  uint32_t total_bytes() const { return starts_[frames_]; }
  /// Bytes that may be spent: all but the confirmation's.
  uint32_t usable_bytes() const { return total_bytes() > kConfirmBytes ? total_bytes() - kConfirmBytes : 0; }
  uint32_t frame_start(uint32_t index) const { return starts_[index]; }
  uint32_t frame_bytes(uint32_t index) const { return starts_[index + 1] - starts_[index]; }
  /// Frame that holds `offset` (below total_bytes).
  uint32_t FrameAt(uint32_t offset) const;

  /// Space for the plaintext of a frame that is not loaded. @throws VaultError ARENA_FULL.
  uint8_t* TakeFrame(uint32_t index);
  /// Takes over the cell that `holder` has: the plaintext of a frame that is not loaded.
  void AdoptFrame(uint32_t index, int32_t* holder);
  /// Hands the cell of a loaded frame to `holder`; the frame is not loaded any more. Its pins are forgotten. No lease covers the block.
  void GiveFrame(uint32_t index, int32_t* holder);
  /// Wipes and releases a frame, pinned or not.
  void ReleaseFrame(uint32_t index);
  bool loaded(uint32_t index) const { return cells_[index] != Arena::kNone; }
  bool Loaded(uint32_t offset, uint32_t length) const;
  void Pin(uint32_t index);
  /// With `wipe_if_free`, the last unpin wipes and releases the frame.
  void Unpin(uint32_t index, bool wipe_if_free = false);

  /// [offset, offset + length) lies in the bytes that may be spent.
  bool Spendable(uint32_t offset, uint32_t length) const {
    return length <= usable_bytes() && offset <= usable_bytes() - length;
  }
  /// Gives [offset, offset + length) its purpose. False, and nothing done, if any byte has one already: no byte is
  /// used twice in one process even if the caller errs.
  bool Claim(uint32_t offset, uint32_t length);
  /// Like Claim, but the very same claim may be repeated (a key that is derived again).
  bool ClaimRepeatable(uint32_t offset, uint32_t length);

  /// Calls visit(uint8_t* bytes, uint32_t length) for each contiguous piece. The bytes are loaded.
  template <typename Visit>
  void ForEachPiece(uint32_t offset, uint32_t length, Visit visit) {
    for (uint32_t index = length > 0 ? FrameAt(offset) : 0; length > 0; ++index) {
      const uint32_t at = offset - starts_[index];
      const uint32_t rest = frame_bytes(index) - at;
      const uint32_t take = length < rest ? length : rest;
      arena_->Touch(cells_[index]);
      visit(arena_->Data(cells_[index]) + at, take);
      offset += take;
      length -= take;
    }
  }
  /// Where the bytes from `offset` on lie; `*length` is cut to what follows in one piece. The bytes are loaded.
  const uint8_t* Piece(uint32_t offset, uint32_t* length);
  void Copy(uint32_t offset, uint32_t length, uint8_t* out);
  /// The bytes in one piece: in place if they lie in one frame, else gathered into `scratch`.
  const uint8_t* View(uint32_t offset, uint32_t length, uint8_t* scratch);
  /// Overwrites bytes in the arena (a used pad). The sealed record is not touched.
  void WipeBytes(uint32_t offset, uint32_t length);

  /// Stretches of lanes over this block.
  uint32_t leases = 0;
  /// Keys that were cut aside (vault_grant.cc), not a block of stock.
  bool held = false;

 private:
  struct Range {
    uint32_t offset;
    uint32_t length;
  };
  Arena* arena_;
  uint64_t number_;
  uint32_t epoch_;
  uint32_t frames_;
  std::array<uint32_t, kFramesMax + 1> starts_{};
  std::array<int32_t, kFramesMax> cells_;
  std::vector<uint64_t> claimed_;  ///< one bit per byte; empty until the first claim
  std::vector<Range> repeatable_;
};

}  // namespace qkme::vault
