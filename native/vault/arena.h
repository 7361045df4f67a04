// The arena: all plaintext of key blocks lives in its cells, one frame each. Fixed size; never malloc.
//
// A cell is free, pinned (somebody will read it), or cached (unpinned, in the order of last use). A
// full arena evicts the cached cell that was used longest ago: it is wiped and its holder told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vault/locked_memory.h"

namespace qkme::vault {

class Arena {
 public:
  static constexpr size_t kCellBytes = 4096;
  /// Value of a holder that has no cell.
  static constexpr int32_t kNone = -1;

  /// `bytes`: a multiple of kCellBytes is used. @throws VaultError MEMORY_NOT_LOCKED, INTERNAL; InvariantError if
  /// not even one cell fits.
  Arena(size_t bytes, bool allow_unlocked);

  /// Gives `holder` a cell, cached, its bytes zero. `*holder` becomes the cell's index, and kNone again when the cell
  /// is evicted or released. @throws VaultError ARENA_FULL if every cell is pinned.
  void Take(int32_t* holder);
  /// Whether `Take` would find a cell.
  bool HasRoom() const { return free_ != kNone || oldest_ != kNone; }
  /// The cell that `from` holds is `to`'s from now on.
  void Rehold(int32_t* from, int32_t* to);
  /// Wipes the cell and gives it back. Its pins are forgotten.
  void Release(int32_t cell);
  /// Pins are counted.
  void Pin(int32_t cell);
  void Unpin(int32_t cell);
  uint32_t pins(int32_t cell) const { return cells_[cell].pins; }
  /// Marks a cached cell as just used.
  void Touch(int32_t cell);
  uint8_t* Data(int32_t cell) const { return region_.data() + static_cast<size_t>(cell) * kCellBytes; }
  /// Releases every cell.
  void Clear();

  size_t bytes() const { return cells_.size() * kCellBytes; }
  bool locked() const { return region_.locked(); }
  uint32_t total() const { return static_cast<uint32_t>(cells_.size()); }
  uint32_t used() const { return used_; }
  uint32_t pinned() const { return pinned_; }

 private:
  struct Cell {
    int32_t* holder = nullptr;
    uint32_t pins = 0;
    int32_t older = kNone;  ///< neighbours in the list of cached cells, or the next free cell
    int32_t newer = kNone;
  };
  void Link(int32_t cell);
  void Unlink(int32_t cell);

  LockedRegion region_;
  std::vector<Cell> cells_;
  int32_t free_ = kNone;
  int32_t oldest_ = kNone;
  int32_t newest_ = kNone;
  uint32_t used_ = 0;
  uint32_t pinned_ = 0;
};

}  // namespace qkme::vault
