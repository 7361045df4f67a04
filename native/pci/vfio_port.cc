// Devices through VFIO: BARs and DMA memory with an IOMMU in between, MSI-X or MSI straight onto the doorbell.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pci/port.h"
#include "pci/vfio.h"

namespace qkme::pci {
namespace {

class VfioPort final : public DevicePort {
 public:
  explicit VfioPort(const PortOptions& options)
      : DevicePort(options), device_(function_), log_(options.kernel_log, options.address) {
    config_.emplace(device_.fd(), device_.region(VFIO_PCI_CONFIG_REGION_INDEX).offset, function_.address());
    // A device that an earlier process set up must not reach for memory before it has been told anew.
    config_->Command(kCommandMemory, kCommandBusMaster);
    (void)config_->TakeErrors();
    if (options_.dma) MakeRing();
    else AttachRingInBar();
    Watch(VFIO_PCI_ERR_IRQ_INDEX, &error_);
    Watch(VFIO_PCI_REQ_IRQ_INDEX, &release_);
    if (options_.interrupt) RouteInterrupt();
    // MSI and MSI-X are writes of the device, so they need bus mastering as well as DMA does.
    if (options_.dma || bell_) config_->Command(kCommandBusMaster, 0);
  }
  ~VfioPort() override { Quiesce(); }

  int bell_fd() const override { return bell_ ? bell_.get() : -1; }
  const char* interrupt_kind() const override { return !bell_ ? "none" : irq_ == VFIO_PCI_MSIX_IRQ_INDEX ? "msix" : "msi"; }
  uint64_t ring_address() const override { return options_.dma ? options_.iova : 0; }
  bool reports_blocked_dma() const override { return log_.readable(); }

  PortHealth Check() override {
    PortHealth health = DevicePort::Check();
    health.device_error = Rang(error_);
    health.release_asked = Rang(release_);
    health.faults = log_.Take(&health.more_faults);
    return health;
  }

  void Quiesce() noexcept override {
    if (quiet_) return;
    quiet_ = true;
    try {
      config_->Command(0, kCommandBusMaster);
    } catch (const RingError&) {
      // Gone already.
    }
    if (bell_) device_.DropEvents(irq_);
    device_.UnmapDma();
  }

 protected:
  OwnedFd OpenBar(unsigned bar, uint64_t* offset, uint64_t* bytes) override {
    const VfioDevice::Span span = device_.region(bar);
    if (!span.mappable) throw RingError("PCI device " + function_.address() + ": BAR " + std::to_string(bar) + " cannot be mapped");
    *offset = span.offset;
    *bytes = span.bytes;
    OwnedFd fd(fcntl(device_.fd(), F_DUPFD_CLOEXEC, 0));
    if (!fd) throw RingError("PCI device " + function_.address() + ": " + strerror(errno));
    return fd;
  }

 private:
  void MakeRing() {
    region_ = Region::CreateMemfd(options_.geometry);
    device_.MapDma(region_->view().base, region_->view().geometry.RegionBytes(), options_.iova);
  }

  void RouteInterrupt() {
    const bool msix = device_.vectors(VFIO_PCI_MSIX_IRQ_INDEX) > options_.vector;
    irq_ = msix ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
    if (device_.vectors(irq_) <= options_.vector) {
      throw RingError("PCI device " + function_.address() + ": has no MSI or MSI-X vector " + std::to_string(options_.vector) + "; switch the interrupt off to poll the ring");
    }
    OwnedFd bell = MakeEventFd();
    device_.SetEvent(irq_, options_.vector, bell.get());
    bell_ = std::move(bell);
  }

  // Not every device has these two; what cannot be watched is not.
  void Watch(uint32_t index, OwnedFd* event) {
    if (device_.vectors(index) == 0) return;
    *event = MakeEventFd();
    device_.SetEvent(index, 0, event->get());
  }

  static bool Rang(const OwnedFd& event) {
    uint64_t count = 0;
    return event && read(event.get(), &count, sizeof count) == ssize_t(sizeof count);
  }

  VfioDevice device_;
  IommuLog log_;
  OwnedFd bell_, error_, release_;
  uint32_t irq_ = 0;
  bool quiet_ = false;
};

}  // namespace

std::shared_ptr<DevicePort> OpenVfioPort(const PortOptions& options) { return std::make_shared<VfioPort>(options); }

}  // namespace qkme::pci
