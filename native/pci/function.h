// A PCI function as Linux shows it in sysfs: what it is, how long its BARs are, its configuration space.
#pragma once

#include <cstdint>
#include <string>

#include "handover.h"

namespace qkme::pci {

inline constexpr unsigned kBars = 6;
/// Command register (PCI Local Bus 3.0, 6.2.2).
inline constexpr unsigned kCommandAt = 4;
inline constexpr uint16_t kCommandMemory = 0x2, kCommandBusMaster = 0x4, kCommandIntxOff = 0x400;
/// Status register (6.2.3): what went wrong with this function's own transactions. Written with ones to clear.
inline constexpr unsigned kStatusAt = 6;
inline constexpr uint16_t kStatusTargetAbort = 0x1000, kStatusMasterAbort = 0x2000, kStatusParity = 0x8000;
inline constexpr uint16_t kStatusErrors = kStatusTargetAbort | kStatusMasterAbort | kStatusParity;

struct Bar {
  uint64_t bytes = 0;   ///< 0: there is none
  bool memory = false;  ///< else I/O ports, which hold no ring
};

/// Where the kernel's files are; other places in tests.
struct Roots {
  std::string devices = "/sys/bus/pci/devices";
  std::string nodes = "/dev";
};

class Function {
 public:
  /// @param address domain:bus:device.function in hexadecimal, as lspci -D prints it.
  /// @throws RingError if the form is wrong or there is no such function.
  Function(const std::string& address, const Roots& roots);

  const std::string& address() const { return address_; }
  const Roots& roots() const { return roots_; }
  std::string Path(const std::string& leaf) const { return folder_ + "/" + leaf; }
  /// The number in a one-line file such as `vendor`. @throws RingError.
  uint64_t Number(const std::string& leaf) const;
  /// Last part of what the symbolic link `leaf` points at (`driver`, `iommu_group`); empty if there is none.
  std::string Link(const std::string& leaf) const;
  /// @throws RingError if there is no memory BAR of this number.
  Bar MemoryBar(unsigned number) const;
  /// Opens the BAR's resource file and checks that it has the length that the kernel says. @throws RingError.
  OwnedFd OpenBar(unsigned number) const;
  /// Turns address decoding on or off (counted by the kernel). @throws RingError.
  void Enable(bool on) const;

  /// Configuration space through sysfs. @throws RingError.
  OwnedFd OpenConfig() const;

 private:
  std::string address_, folder_;
  Roots roots_;
};

/// Configuration space: a file in sysfs, or a region of a VFIO descriptor.
class Config {
 public:
  Config(int fd, uint64_t offset, std::string where) : fd_(fd), offset_(offset), where_(std::move(where)) {}
  /// @throws RingError.
  uint16_t Read16(unsigned at) const;
  void Write16(unsigned at, uint16_t value) const;
  /// Sets and clears bits of the command register.
  void Command(uint16_t set, uint16_t clear) const;
  /// Error bits that were set since the last call; 0xFFFF if the function does not answer any more. Never throws.
  uint16_t TakeErrors() const noexcept;

 private:
  int fd_;
  uint64_t offset_;
  std::string where_;
};

}  // namespace qkme::pci
