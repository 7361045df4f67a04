// Memory for secrets: never swapped, never in a core dump, never inherited by a child process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme::vault {

/// Overwrites with zeros in a way that the compiler keeps.
void Wipe(void* bytes, size_t length);

/// Bytes of locked scratch memory that are wiped when the guard goes, whatever happens in between.
class ScratchGuard {
 public:
  ScratchGuard(uint8_t* bytes, size_t length) : bytes_(bytes), length_(length) {}
  ~ScratchGuard() { Wipe(bytes_, length_); }
  ScratchGuard(const ScratchGuard&) = delete;
  ScratchGuard& operator=(const ScratchGuard&) = delete;
  uint8_t* data() const { return bytes_; }

 private:
  uint8_t* bytes_;
  size_t length_;
};

/// True if both are equal; takes the same time wherever they differ.
bool EqualConstantTime(const uint8_t* a, const uint8_t* b, size_t length);

/// Forbids core dumps and debuggers of the same user (PR_SET_DUMPABLE 0). For the whole process.
/// @throws VaultError INTERNAL.
void ForbidCoreDumps();

/// One anonymous mapping, locked (mlock), MADV_DONTDUMP, MADV_DONTFORK; wiped when destroyed, and when the process
/// exits in an orderly way (Node does not run finalizers on process.exit).
class LockedRegion {
 public:
  /// `bytes` is rounded up to whole pages. With `allow_unlocked` a refused lock is only recorded.
  /// @throws VaultError MEMORY_NOT_LOCKED (says what to do), INTERNAL (no memory).
  LockedRegion(size_t bytes, bool allow_unlocked);
  ~LockedRegion();
  LockedRegion(const LockedRegion&) = delete;
  LockedRegion& operator=(const LockedRegion&) = delete;

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool locked() const { return locked_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
  bool locked_ = false;
};

}  // namespace qkme::vault
