// The VFIO calls that a port needs, each checked (Linux Documentation/driver-api/vfio.rst; <linux/vfio.h>).
#pragma once

#include <linux/vfio.h>

#include <cstdint>
#include <string>

#include "handover.h"
#include "pci/function.h"

namespace qkme::pci {

/// Container, group and device of one function. Closing the device's descriptor resets the device.
class VfioDevice {
 public:
  /// @throws RingError: not bound to vfio-pci, no IOMMU, no permission, others of the group in use.
  explicit VfioDevice(const Function& function);
  ~VfioDevice();

  struct Span { uint64_t offset, bytes; bool mappable; };
  /// BAR 0 to 5, or VFIO_PCI_CONFIG_REGION_INDEX. @throws RingError.
  Span region(uint32_t index) const;
  int fd() const { return device_.get(); }
  const std::string& group() const { return group_name_; }

  /// Lets the device read and write `bytes` of memory at `iova`. The pages are pinned. @throws RingError.
  void MapDma(void* base, uint64_t bytes, uint64_t iova);
  void UnmapDma() noexcept;
  /// Vectors of an interrupt kind (VFIO_PCI_*_IRQ_INDEX); 0 if the device has none.
  uint32_t vectors(uint32_t index) const;
  /// Vector `vector` rings `event_fd` from now on. @throws RingError.
  void SetEvent(uint32_t index, uint32_t vector, int event_fd);
  void DropEvents(uint32_t index) noexcept;

 private:
  std::string address_, group_name_;
  OwnedFd container_, group_, device_;
  uint64_t mapped_iova_ = 0, mapped_bytes_ = 0;
};

}  // namespace qkme::pci
