// What an IOMMU says of a device's DMA that it blocked. Linux gives VFIO no event for it: it is in the kernel's log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handover.h"

namespace qkme::pci {

/// One transaction that was stopped.
struct IommuFault {
  uint64_t address = 0;
  bool write = false, known_direction = false;
};

/// A line of Intel's (DMAR) or AMD's (AMD-Vi) driver about the function at `address` (0000:3b:00.0); else nothing.
std::optional<IommuFault> ParseIommuFault(std::string_view line, std::string_view address);

/// Follows the kernel's log from now on.
class IommuLog {
 public:
  static constexpr size_t kFaultsKept = 16;  ///< per call of Take; the rest is counted
  static constexpr size_t kLinesPerTake = 256;

  /// Does not throw: where the log cannot be read (CAP_SYSLOG, a container), `readable` says so.
  IommuLog(const std::string& path, std::string address);

  bool readable() const { return bool(fd_); }
  /// Faults of this function since the last call, at most kFaultsKept; `*more` receives how many there were beyond.
  std::vector<IommuFault> Take(uint64_t* more);

 private:
  OwnedFd fd_;
  std::string address_;
};

}  // namespace qkme::pci
