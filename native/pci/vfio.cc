#include "pci/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include <vector>

#include "region.h"

namespace qkme::pci {
namespace {

[[noreturn]] void Throw(const std::string& where, const std::string& what) { throw RingError("PCI device " + where + ": " + what); }
std::string Why() { return strerror(errno); }

}  // namespace

VfioDevice::VfioDevice(const Function& function) : address_(function.address()), group_name_(function.Link("iommu_group")) {
  if (group_name_.empty()) Throw(address_, "is in no IOMMU group; switch the IOMMU on (firmware, and intel_iommu=on where it is off)");
  const std::string driver = function.Link("driver");
  if (driver != "vfio-pci") Throw(address_, "is bound to \"" + driver + "\"; bind vfio-pci to it");
  const std::string nodes = function.roots().nodes + "/vfio/";
  container_ = OwnedFd(open((nodes + "vfio").c_str(), O_RDWR | O_CLOEXEC));
  if (!container_) Throw(address_, "cannot open " + nodes + "vfio: " + Why() + "; load vfio-pci");
  if (ioctl(container_.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION || ioctl(container_.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
    Throw(address_, nodes + "vfio does not speak VFIO type 1 v2; load vfio_iommu_type1");
  }
  group_ = OwnedFd(open((nodes + group_name_).c_str(), O_RDWR | O_CLOEXEC));
  if (!group_) {
    Throw(address_, "cannot open " + nodes + group_name_ + ": " + Why() + (errno == EBUSY ? "; another process uses the device" : "; give this user access to it"));
  }
  vfio_group_status status = {};
  status.argsz = sizeof status;
  if (ioctl(group_.get(), VFIO_GROUP_GET_STATUS, &status) != 0) Throw(address_, "VFIO group " + group_name_ + ": " + Why());
  if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) Throw(address_, "IOMMU group " + group_name_ + " has other devices in use; bind all of them to vfio-pci");
  int container = container_.get();
  if (ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0) Throw(address_, "cannot join group " + group_name_ + ": " + Why());
  if (ioctl(container_.get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
    Throw(address_, "cannot use its IOMMU: " + Why() + (errno == EPERM ? "; interrupt remapping is off (firmware, or intremap=on in QEMU)" : ""));
  }
  device_ = OwnedFd(ioctl(group_.get(), VFIO_GROUP_GET_DEVICE_FD, address_.c_str()));
  if (!device_) Throw(address_, "cannot be opened through VFIO: " + Why());
  fcntl(device_.get(), F_SETFD, FD_CLOEXEC);
}

VfioDevice::~VfioDevice() { UnmapDma(); }

VfioDevice::Span VfioDevice::region(uint32_t index) const {
  vfio_region_info info = {};
  info.argsz = sizeof info;
  info.index = index;
  if (ioctl(device_.get(), VFIO_DEVICE_GET_REGION_INFO, &info) != 0) Throw(address_, "region " + std::to_string(index) + ": " + Why());
  if (info.size == 0) Throw(address_, "has no BAR " + std::to_string(index));
  return {info.offset, info.size, (info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0};
}

void VfioDevice::MapDma(void* base, uint64_t bytes, uint64_t iova) {
  vfio_iommu_type1_dma_map map = {};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<uintptr_t>(base);
  map.iova = iova;
  map.size = bytes;
  if (ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map) != 0) {
    Throw(address_, "cannot map " + std::to_string(bytes) + " bytes for DMA at " + std::to_string(iova) + ": " + Why() +
                        (errno == ENOMEM ? "; raise the limit on locked memory (LimitMEMLOCK)" : "; choose another address"));
  }
  mapped_iova_ = iova;
  mapped_bytes_ = bytes;
}

void VfioDevice::UnmapDma() noexcept {
  if (mapped_bytes_ == 0) return;
  vfio_iommu_type1_dma_unmap unmap = {};
  unmap.argsz = sizeof unmap;
  unmap.iova = mapped_iova_;
  unmap.size = mapped_bytes_;
  // Cannot fail for a mapping that is ours; were it to, closing the container unmaps it.
  (void)ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap);
  mapped_bytes_ = 0;
}

uint32_t VfioDevice::vectors(uint32_t index) const {
  vfio_irq_info info = {};
  info.argsz = sizeof info;
  info.index = index;
  if (ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0 || !(info.flags & VFIO_IRQ_INFO_EVENTFD)) return 0;
  return info.count;
}

void VfioDevice::SetEvent(uint32_t index, uint32_t vector, int event_fd) {
  // A header and one descriptor behind it. MSI vectors are allocated by the first call, so lower ones are named too, as not used.
  std::vector<uint8_t> bytes(sizeof(vfio_irq_set) + (vector + 1) * sizeof(int32_t));
  vfio_irq_set head = {};
  head.argsz = uint32_t(bytes.size());
  head.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  head.index = index;
  head.count = vector + 1;
  memcpy(bytes.data(), &head, sizeof head);
  for (uint32_t i = 0; i <= vector; ++i) {
    const int32_t fd = i == vector ? event_fd : -1;
    memcpy(bytes.data() + sizeof head + i * sizeof fd, &fd, sizeof fd);
  }
  if (ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, bytes.data()) != 0) Throw(address_, "cannot route interrupt vector " + std::to_string(vector) + ": " + Why());
}

void VfioDevice::DropEvents(uint32_t index) noexcept {
  vfio_irq_set none = {};
  none.argsz = sizeof none;
  none.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
  none.index = index;
  (void)ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, &none);  // fails only where none were routed, or the device is gone
}

}  // namespace qkme::pci
