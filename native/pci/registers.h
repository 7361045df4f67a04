// A stretch of a device's registers, mapped: every access has the width that is asked for and lies within the BAR.
#pragma once

#include <cstdint>
#include <string>

#include "handover.h"

namespace qkme::pci {

class Registers {
 public:
  /// `bytes` at `offset` of `fd`, as the kernel tells the sizes. Takes the descriptor. @throws RingError.
  Registers(OwnedFd fd, uint64_t offset, uint64_t bytes, const std::string& where);
  ~Registers();
  Registers(const Registers&) = delete;
  Registers& operator=(const Registers&) = delete;

  uint64_t bytes() const { return bytes_; }
  /// `at` is a multiple of the width and within the registers. A device that is gone reads as ones. @throws RingError.
  uint32_t Read32(uint64_t at) const;
  uint64_t Read64(uint64_t at) const;
  /// Throws as an access there would, without one.
  void Require32(uint64_t at) const;
  void Write32(uint64_t at, uint32_t value);
  void Write64(uint64_t at, uint64_t value);
  /// The mapping was taken away (the device reset or pulled): it reads as zeros then.
  bool Lost() const;

 private:
  template <class Word> volatile Word* At(uint64_t at) const;

  OwnedFd fd_;
  uint64_t bytes_;
  std::string where_;
  uint8_t* base_ = nullptr;
  int guard_ = -1;
};

}  // namespace qkme::pci
