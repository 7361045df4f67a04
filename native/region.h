// The memory of a ring: made or attached, its size checked before it is mapped, and safe against a file
// that shrinks under the mapping.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "ring.h"

namespace qkme {

/// A ring that cannot be used: message says what, where and what to do. Code RING_INVALID in JavaScript.
class RingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Region {
 public:
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  /// `kHuge`: one page of 2 MiB, which is one piece for a device that knows physical addresses only.
  enum class Pages { kNormal, kHuge };
  static constexpr uint64_t kHugePageBytes = 2u << 20;

  /// Anonymous memory that nobody can resize (memfd with F_SEAL_SHRINK, GROW and SEAL), formatted.
  static std::unique_ptr<Region> CreateMemfd(const RingGeometry& geometry, Pages pages = Pages::kNormal);
  /// The file at `path`: created and formatted if absent (mode 0600, pages reserved), else attached, and then it
  /// must have this link id. Locked (flock), so that it has one consumer.
  static std::unique_ptr<Region> OpenOrCreateFile(const std::string& path, const RingGeometry& geometry);
  /// An existing ring: a ring file, or a PCI resource file.
  static std::unique_ptr<Region> AttachPath(const std::string& path);
  /// Takes ownership of `fd`, also when it throws. `where` is for messages.
  static std::unique_ptr<Region> AttachFd(int fd, const std::string& where);
  /// A ring in a device's own memory: `length` bytes at `offset` of `fd`, as the kernel tells the sizes (native/pci/).
  /// Takes ownership of `fd`, also when it throws.
  static std::unique_ptr<Region> AttachSpan(int fd, uint64_t offset, uint64_t length, const std::string& where);

  const RingView& view() const { return view_; }
  int fd() const { return fd_; }
  /// A descriptor for the device. Not a duplicate: a lock on a ring file lives as long as any duplicate of the descriptor,
  /// and the device must not keep it when this process dies. The caller closes it.
  int ShareFd() const;
  bool sealed() const { return sealed_; }
  bool locked() const { return locked_; }
  /// The memory went away: the file was cut, the hardware was pulled (it then reads as zeros, or as ones on PCI), or the
  /// device was reset and holds no ring any more.
  bool Lost() const;

 private:
  Region() = default;
  void Map(const std::string& where);
  void MapBytes(uint64_t offset, size_t length);

  RingView view_;
  std::string where_;
  int fd_ = -1;
  size_t length_ = 0;
  bool sealed_ = false, locked_ = false, device_ = false;
  int guard_ = -1;
};

}  // namespace qkme
