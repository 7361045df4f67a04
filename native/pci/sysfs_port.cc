// Devices through sysfs and UIO: memory from resourceN, interrupts (INTx) from /dev/uioN by a thread of their own.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "pci/port.h"

namespace qkme::pci {
namespace {

[[noreturn]] void Throw(const std::string& where, const std::string& what) { throw RingError("PCI device " + where + ": " + what); }

class SysfsPort final : public DevicePort {
 public:
  explicit SysfsPort(const PortOptions& options) : DevicePort(options), uio_(options.kind == "uio") {
    // uio_pci_generic has enabled the device already; a bare BAR is enabled here and given back at the end.
    if (!uio_) function_.Enable(true);
    enabled_ = !uio_;
    try {
      OpenAll();
    } catch (...) {
      Quiesce();
      throw;
    }
  }
  ~SysfsPort() override { Quiesce(); }

  int bell_fd() const override { return bell_ ? bell_.get() : -1; }
  const char* interrupt_kind() const override { return bell_ ? "intx" : "none"; }
  uint64_t ring_address() const override { return physical_; }

  PortHealth Check() override {
    PortHealth health = DevicePort::Check();
    health.interrupts = interrupts_.load(std::memory_order_relaxed);
    health.gone |= thread_failed_.load(std::memory_order_relaxed);
    return health;
  }

  void Quiesce() noexcept override {
    if (thread_.joinable()) {
      RingBell(stop_.get());
      thread_.join();
    }
    try {
      if (config_) config_->Command(uio_ ? kCommandIntxOff : 0, uio_ ? kCommandBusMaster : 0);
      if (enabled_) function_.Enable(false);
    } catch (const RingError&) {
      // A device that is gone cannot be quieted, and needs no quieting.
    }
    config_.reset();
    enabled_ = false;
  }

 protected:
  OwnedFd OpenBar(unsigned bar, uint64_t* offset, uint64_t* bytes) override {
    *offset = 0;
    *bytes = function_.MemoryBar(bar).bytes;
    return function_.OpenBar(bar);
  }

 private:
  void OpenAll() {
    // A reader of a plain BAR may lack write access to the configuration; its errors are then not seen, which costs nothing else.
    if (uio_) {
      config_fd_ = function_.OpenConfig();
      config_.emplace(config_fd_.get(), 0, function_.address());
      config_->Command(kCommandMemory, kCommandBusMaster);
      (void)config_->TakeErrors();
    }
    if (options_.dma) {
      if (!uio_) Throw(function_.address(), "memory of this machine needs uio or vfio");
      MakeRing();
      config_->Command(kCommandBusMaster, 0);
    } else {
      AttachRingInBar();
    }
    if (uio_ && options_.interrupt) StartInterrupts();
  }

  void MakeRing() {
    try {
      region_ = Region::CreateMemfd(options_.geometry, Region::Pages::kHuge);
    } catch (const RingError& e) {
      Throw(function_.address(), std::string(e.what()) + ". DMA without an IOMMU needs one free huge page of 2 MiB (sysctl vm.nr_hugepages)");
    }
    physical_ = PhysicalAddress(region_->view().base);
  }

  void StartInterrupts() {
    if (options_.interrupt_status.has_value() != options_.interrupt_ack.has_value()) Throw(function_.address(), "an interrupt has both a status register and a place to take it back, or neither");
    const std::string node = options_.roots.nodes + "/" + NodeName();
    uio_fd_ = OwnedFd(open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!uio_fd_) Throw(function_.address(), "cannot open " + node + ": " + strerror(errno));
    generic_ = function_.Link("driver") == "uio_pci_generic";
    if (options_.interrupt_status) {  // mapped before the thread looks at them
      registers(options_.interrupt_status->bar);
      registers(options_.interrupt_ack->bar);
    }
    bell_ = MakeEventFd();
    stop_ = MakeEventFd();
    Rearm();
    thread_ = std::thread([this] { Run(); });
  }

  // <function>/uio/uio0: the driver's node is in /dev under the same name.
  std::string NodeName() const {
    for (int i = 0; i < 256; ++i) {
      const std::string name = "uio" + std::to_string(i);
      if (access(function_.Path("uio/" + name).c_str(), F_OK) == 0) return name;
    }
    Throw(function_.address(), "no UIO driver has this device (its driver is \"" + function_.Link("driver") + "\"); bind uio_pci_generic to it");
  }

  // uio_pci_generic switches INTx off in the command register at each interrupt; other drivers take a 1 on their node.
  void Rearm() {
    if (generic_) return config_->Command(0, kCommandIntxOff);
    const uint32_t on = 1;
    if (write(uio_fd_.get(), &on, sizeof on) != ssize_t(sizeof on) && errno != ENOSYS) Throw(function_.address(), std::string("cannot allow interrupts: ") + strerror(errno));
  }

  void Run() noexcept {
    pollfd watched[2] = {{stop_.get(), POLLIN, 0}, {uio_fd_.get(), POLLIN, 0}};
    try {
      for (;;) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR) break;
        if (watched[0].revents) return;
        uint32_t count = 0;
        if (read(uio_fd_.get(), &count, sizeof count) != ssize_t(sizeof count)) {
          if (errno == EAGAIN || errno == EINTR) continue;
          break;  // EIO: the device is gone
        }
        // A level stays up until the device takes it back, so this comes before the line is allowed again.
        if (options_.interrupt_status) {
          const uint32_t cause = registers(options_.interrupt_status->bar).Read32(options_.interrupt_status->at);
          registers(options_.interrupt_ack->bar).Write32(options_.interrupt_ack->at, cause);
        }
        interrupts_.fetch_add(1, std::memory_order_relaxed);
        Rearm();
        RingBell(bell_.get());
      }
    } catch (const RingError&) {
      // The configuration space does not answer: told by Check.
    }
    thread_failed_.store(true, std::memory_order_relaxed);
    RingBell(bell_.get());
  }

  const bool uio_;
  bool enabled_ = false, generic_ = false;
  OwnedFd config_fd_, uio_fd_, bell_, stop_;
  uint64_t physical_ = 0;
  std::atomic<uint64_t> interrupts_{0};
  std::atomic<bool> thread_failed_{false};
  std::thread thread_;
};

}  // namespace

std::shared_ptr<DevicePort> OpenSysfsPort(const PortOptions& options) { return std::make_shared<SysfsPort>(options); }

}  // namespace qkme::pci
