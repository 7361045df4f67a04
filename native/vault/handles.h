// Handles: what JavaScript holds instead of pointers. 32 bits: kind 2, generation 14, index 16.
// A stale handle, or one of another kind, is found by its generation or kind, never followed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "vault/error.h"

namespace qkme::vault {

enum class HandleKind : uint32_t { kLane = 0, kKey = 1, kSealer = 2, kBlock = 3 };

/// Owns objects by handle. Freed indices are reused in the order they were freed, so that a
/// generation comes round as late as possible.
template <typename T, HandleKind kKind>
class HandleTable {
 public:
  /// At most `capacity` live objects (65,535 at most).
  explicit HandleTable(uint32_t capacity) : capacity_(capacity) {}

  /// @throws VaultError ARENA_FULL at the capacity.
  uint32_t Add(std::unique_ptr<T> object) {
    uint32_t index = 0;
    if (entries_.size() < capacity_) {
      index = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    } else if (!free_.empty()) {
      index = free_.front();
      free_.pop_front();
    } else {
      throw VaultError("ARENA_FULL", "too many open handles of one kind in the vault: release some first");
    }
    Entry& entry = entries_[index];
    entry.object = std::move(object);
    entry.generation = entry.generation == kGenerationMax ? 1 : entry.generation + 1;
    ++used_;
    return static_cast<uint32_t>(kKind) << 30 | entry.generation << 16 | index;
  }

  /// nullptr if the handle is not live here.
  T* Find(uint32_t handle) const {
    const uint32_t index = handle & 0xFFFFu;
    if (index >= entries_.size() || handle >> 30 != static_cast<uint32_t>(kKind)) return nullptr;
    const Entry& entry = entries_[index];
    return entry.generation == (handle >> 16 & kGenerationMax) ? entry.object.get() : nullptr;
  }

  /// The object, or nullptr if the handle is not live here.
  std::unique_ptr<T> Remove(uint32_t handle) {
    if (Find(handle) == nullptr) return nullptr;
    --used_;
    free_.push_back(handle & 0xFFFFu);
    return std::move(entries_[handle & 0xFFFFu].object);
  }

  /// Calls `visit(T&)` for each live object.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (Entry& entry : entries_) {
      if (entry.object) visit(*entry.object);
    }
  }

  /// Destroys every object; all handles are dead afterwards.
  void Clear() {
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      if (!entries_[i].object) continue;
      entries_[i].object.reset();
      free_.push_back(i);
    }
    used_ = 0;
  }

  uint32_t used() const { return used_; }

 private:
  static constexpr uint32_t kGenerationMax = 0x3FFFu;
  struct Entry {
    std::unique_ptr<T> object;
    uint32_t generation = 0;
  };
  uint32_t capacity_;
  uint32_t used_ = 0;
  std::vector<Entry> entries_;
  std::deque<uint32_t> free_;
};

}  // namespace qkme::vault
