#include "pci/port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

namespace qkme::pci {

DevicePort::DevicePort(const PortOptions& options) : options_(options), function_(options.address, options.roots) {}
DevicePort::~DevicePort() = default;

std::shared_ptr<DevicePort> DevicePort::Open(const PortOptions& options) {
  std::shared_ptr<DevicePort> port;
  if (options.kind == "vfio") port = OpenVfioPort(options);
  else if (options.kind == "bar" || options.kind == "uio") port = OpenSysfsPort(options);
  else throw RingError("PCI device " + options.address + ": no such kind of access: " + options.kind);
  // So that ringing it later cannot fail.
  if (options.doorbell) port->registers(options.doorbell->bar).Require32(options.doorbell->at);
  return port;
}

void DevicePort::AttachRingInBar() {
  const std::string where = function_.address() + " BAR " + std::to_string(options_.ring_bar);
  uint64_t offset = 0, bytes = 0;
  OwnedFd fd = OpenBar(options_.ring_bar, &offset, &bytes);
  if (options_.ring_at >= bytes) throw RingError("ring " + where + ": begins behind the end of the BAR, which has " + std::to_string(bytes) + " bytes");
  region_ = Region::AttachSpan(fd.Take(), offset + options_.ring_at, bytes - options_.ring_at, where);
}

Registers& DevicePort::registers(unsigned bar) {
  if (bar >= kBars) throw RingError("PCI device " + function_.address() + ": BARs have the numbers 0 to 5");
  if (!registers_[bar]) {
    uint64_t offset = 0, bytes = 0;
    OwnedFd fd = OpenBar(bar, &offset, &bytes);
    registers_[bar] = std::make_unique<Registers>(std::move(fd), offset, bytes, function_.address() + " BAR " + std::to_string(bar));
  }
  return *registers_[bar];
}

void DevicePort::RingDevice() {
  if (options_.doorbell) registers(options_.doorbell->bar).Write32(options_.doorbell->at, options_.doorbell_value);
}

PortHealth DevicePort::Check() {
  PortHealth health;
  health.gone = region_ && region_->Lost();
  for (const auto& each : registers_) health.gone |= each && each->Lost();
  const uint16_t errors = config_ ? config_->TakeErrors() : 0;
  if (errors == 0xFFFF) health.gone = true;
  else health.status = errors;
  return health;
}

uint64_t PhysicalAddress(const void* at) {
  const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE)), where = reinterpret_cast<uintptr_t>(at);
  const OwnedFd fd(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  uint64_t entry = 0;
  const bool read = fd && pread(fd.get(), &entry, sizeof entry, off_t(where / page * sizeof entry)) == ssize_t(sizeof entry);
  const uint64_t frame = entry & ((uint64_t{1} << 55) - 1);
  // Without CAP_SYS_ADMIN the kernel gives zeros in place of frame numbers.
  if (!read || !(entry >> 63) || frame == 0) {
    throw RingError("the physical address of the ring's memory is not known to this process; it needs CAP_SYS_ADMIN. VFIO needs no physical addresses: use it");
  }
  return frame * page + where % page;
}

}  // namespace qkme::pci
