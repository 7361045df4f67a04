// A PCI device whose ring the KME reads: its memory, its interrupt as a doorbell, its registers.
//
//   kind   memory of the ring                        interrupt                        DMA
//   bar    a BAR, through sysfs resourceN            none: polled                     none
//   uio    a BAR, or one huge page of this machine   /dev/uioN (INTx)                 physical addresses, no protection
//   vfio   a BAR, or memory of this machine          MSI-X or MSI through an eventfd  only what is mapped; the IOMMU stops the rest
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pci/function.h"
#include "pci/iommu_log.h"
#include "pci/registers.h"
#include "region.h"

namespace qkme::pci {

struct Place {
  uint32_t bar = 0;
  uint64_t at = 0;
};

struct PortOptions {
  std::string kind;     ///< bar, uio, vfio
  std::string address;
  Roots roots;
  std::string kernel_log = "/dev/kmsg";
  bool dma = false;     ///< the ring is memory of this machine, made and formatted here; else it is in a BAR and the device made it
  uint32_t ring_bar = 0;
  uint64_t ring_at = 0; ///< in the BAR
  RingGeometry geometry;          ///< dma only
  uint64_t iova = 0x100000000;    ///< dma through VFIO: where the device sees the ring
  bool interrupt = true;
  uint32_t vector = 0;            ///< vfio
  std::optional<Place> doorbell;  ///< written when the device waits for room
  uint32_t doorbell_value = 0;
  /// uio: the interrupt's cause is read here and written there, which takes the interrupt back.
  std::optional<Place> interrupt_status, interrupt_ack;
};

/// What Check found since the last time.
struct PortHealth {
  bool gone = false;             ///< pulled, or its memory went away
  bool release_asked = false;    ///< vfio: the kernel wants the device back (unbind, hot unplug)
  bool device_error = false;     ///< vfio: an uncorrectable PCI Express error (AER)
  uint16_t status = 0;           ///< error bits of the PCI status register
  uint64_t interrupts = 0;       ///< ever; 0 where they are not counted here
  std::vector<IommuFault> faults;
  uint64_t more_faults = 0;
};

class DevicePort {
 public:
  /// @throws RingError: what, which device, what to do.
  static std::shared_ptr<DevicePort> Open(const PortOptions& options);
  virtual ~DevicePort();
  DevicePort(const DevicePort&) = delete;
  DevicePort& operator=(const DevicePort&) = delete;

  const Function& function() const { return function_; }
  /// Null for a port without a ring.
  const std::shared_ptr<Region>& region() const { return region_; }
  /// An eventfd that rings with the device's interrupt; -1: there is none and the ring is polled.
  virtual int bell_fd() const { return -1; }
  /// How interrupts come: none, intx, msi, msix.
  virtual const char* interrupt_kind() const { return "none"; }
  /// Where the device finds the ring by DMA, or 0.
  virtual uint64_t ring_address() const { return 0; }
  /// Whether an IOMMU's reports of blocked DMA can be read.
  virtual bool reports_blocked_dma() const { return false; }

  /// Tells the device that there is room in the ring, if it has a doorbell.
  void RingDevice();
  Registers& registers(unsigned bar);
  virtual PortHealth Check();
  /// Ends what the device can do to this machine: interrupts, bus mastering, DMA mappings. The ring stays readable. Does not throw.
  virtual void Quiesce() noexcept = 0;

 protected:
  explicit DevicePort(const PortOptions& options);
  virtual OwnedFd OpenBar(unsigned bar, uint64_t* offset, uint64_t* bytes) = 0;
  /// Attaches the ring in a BAR.
  void AttachRingInBar();

  const PortOptions options_;
  const Function function_;
  std::shared_ptr<Region> region_;
  std::optional<Config> config_;

 private:
  std::array<std::unique_ptr<Registers>, kBars> registers_;
};

/// The two kinds that go through sysfs, without protection by an IOMMU.
std::shared_ptr<DevicePort> OpenSysfsPort(const PortOptions& options);
std::shared_ptr<DevicePort> OpenVfioPort(const PortOptions& options);

/// Physical address of locked memory, from /proc/self/pagemap. @throws RingError where this process may not know it.
uint64_t PhysicalAddress(const void* at);

}  // namespace qkme::pci
