#include "vault/arena.h"

#include "vault/error.h"

namespace qkme::vault {

Arena::Arena(size_t bytes, bool allow_unlocked)
    : region_(bytes / kCellBytes * kCellBytes, allow_unlocked), cells_(bytes / kCellBytes) {
  for (int32_t i = static_cast<int32_t>(cells_.size()); i-- > 0;) {
    cells_[i].older = free_;
    free_ = i;
  }
}

void Arena::Link(int32_t cell) {
  cells_[cell].older = newest_;
  cells_[cell].newer = kNone;
  (newest_ == kNone ? oldest_ : cells_[newest_].newer) = cell;
  newest_ = cell;
}

void Arena::Unlink(int32_t cell) {
  const Cell& c = cells_[cell];
  (c.older == kNone ? oldest_ : cells_[c.older].newer) = c.newer;
  (c.newer == kNone ? newest_ : cells_[c.newer].older) = c.older;
}

void Arena::Take(int32_t* holder) {
  if (free_ == kNone) {
    if (oldest_ == kNone) {
      throw VaultError("ARENA_FULL", "every cell of the key arena is in use: wait for deliveries to finish, or give it more memory (arena_bytes)");
    }
    Release(oldest_);
  }
  const int32_t cell = free_;
  free_ = cells_[cell].older;
  cells_[cell].holder = holder;
  cells_[cell].pins = 0;
  *holder = cell;
  ++used_;
  Link(cell);
}

void Arena::Rehold(int32_t* from, int32_t* to) {
  Require(*from != kNone && cells_[*from].holder == from, "a cell is handed on by its holder");
  cells_[*from].holder = to;
  *to = *from;
  *from = kNone;
}

void Arena::Release(int32_t cell) {
  Cell& c = cells_[cell];
  Require(c.holder != nullptr, "a cell is released once");
  if (c.pins > 0) {
    --pinned_;
  } else {
    Unlink(cell);
  }
  Wipe(Data(cell), kCellBytes);
  *c.holder = kNone;
  c.holder = nullptr;
  c.pins = 0;
  c.older = free_;
  free_ = cell;
  --used_;
}

void Arena::Pin(int32_t cell) {
  Cell& c = cells_[cell];
  if (c.pins++ > 0) return;
  Unlink(cell);
  ++pinned_;
}

void Arena::Unpin(int32_t cell) {
  Cell& c = cells_[cell];
  Require(c.pins > 0, "a frame is unpinned as often as it was pinned");
  if (--c.pins > 0) return;
  --pinned_;
  Link(cell);
}

void Arena::Touch(int32_t cell) {
  if (cells_[cell].pins > 0 || newest_ == cell) return;
  Unlink(cell);
  Link(cell);
}

void Arena::Clear() {
  for (int32_t i = 0; i < static_cast<int32_t>(cells_.size()); ++i) {
    if (cells_[i].holder != nullptr) Release(i);
  }
}

}  // namespace qkme::vault
