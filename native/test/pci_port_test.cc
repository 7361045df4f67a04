// Devices through sysfs and UIO, with files in place of the kernel's: sizes, interrupts, registers, what is gone.
#include "pci/port.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "check.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::pci;
using namespace qkme::test;

namespace {

const RingGeometry kSmall{.nslots = 16, .stride = 4096, .link = kLink};
constexpr uint64_t kBarBytes = 1u << 17;

/// A device folder as sysfs has it: BAR 0 registers, BAR 2 memory with a ring.
struct Machine {
  Machine() {
    char form[] = "/tmp/qkme-pci-XXXXXX";
    root = mkdtemp(form);
    device = root + "/0000:3b:00.0";
    mkdir(device.c_str(), 0700);
    mkdir((device + "/uio").c_str(), 0700);
    mkdir((device + "/uio/uio7").c_str(), 0700);
    Write("resource", "0x00000000fe000000 0x00000000fe000fff 0x0000000000040200\n"
                      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                      "0x0000000080000000 0x000000008001ffff 0x000000000014220c\n"
                      "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n");
    Write("enable", "0");
    Write("config", std::string(64, '\0'));
    Write("resource0", std::string(4096, '\0'));
    Write("resource2", std::string(kBarBytes, '\0'));
    FormatBar(8192);
    Driver("uio_pci_generic");
    mkfifo((root + "/uio7").c_str(), 0600);
  }
  ~Machine() { (void)!system(("rm -rf " + root).c_str()); }

  void Write(const char* leaf, const std::string& text) const {
    const OwnedFd fd(open((device + "/" + leaf).c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    if (write(fd.get(), text.data(), text.size()) != ssize_t(text.size())) abort();
  }
  std::string Read(const char* leaf) const {
    const OwnedFd fd(open((device + "/" + leaf).c_str(), O_RDONLY));
    char text[256] = {};
    return {text, size_t(std::max<ssize_t>(0, read(fd.get(), text, sizeof text)))};
  }
  uint16_t Command() const { uint16_t value; memcpy(&value, Read("config").data() + kCommandAt, 2); return value; }
  void Driver(const char* name) const {
    unlink((device + "/driver").c_str());
    (void)!symlink((std::string("../../drivers/") + name).c_str(), (device + "/driver").c_str());
  }
  void FormatBar(uint64_t at) const {
    std::vector<uint8_t> memory(2 * kBarBytes);
    FormatRing(memory.data() + at, kSmall);
    memory.resize(kBarBytes);
    Write("resource2", std::string(reinterpret_cast<char*>(memory.data()), memory.size()));
  }
  PortOptions Options(const char* kind) const {
    PortOptions options;
    options.kind = kind;
    options.address = "0000:3b:00.0";
    options.roots = {root, root};
    options.ring_bar = 2;
    options.ring_at = 8192;
    return options;
  }
  std::string root, device;
};

bool Rings(int fd, int ms) {
  pollfd watched = {fd, POLLIN, 0};
  const bool rang = poll(&watched, 1, ms) > 0;
  if (rang) ClearBell(fd);
  return rang;
}

}  // namespace

TEST("a ring in a BAR is taken at its offset, and frames come through it") {
  Machine machine;
  const auto port = DevicePort::Open(machine.Options("bar"));
  CHECK(port->region()->view().geometry.nslots == 16 && port->bell_fd() == -1 && port->ring_address() == 0);
  CHECK(machine.Read("enable") == "1");
  RingProducer producer(port->region()->view(), 0, 1);
  CHECK(Put(producer, 1, 0, 1) && Put(producer, 1, 124, 2));
  Side side(port->region()->view());
  CHECK(side.Drain().records == 2);
  CHECK(!port->Check().gone);
  port->Quiesce();
  CHECK(machine.Read("enable") == "0");
}

TEST("addresses, BARs and files that cannot be are refused with a reason") {
  Machine machine;
  PortOptions options = machine.Options("bar");
  for (const char* bad : {"", "3b:00.0", "0000:3b:00.8", "0000:3B:00.0", "../0000:3b:00.0", "0000:3b:00.0/.."}) {
    options.address = bad;
    THROWS(DevicePort::Open(options), "an address looks like");
  }
  options.address = "0000:3c:00.0";
  THROWS(DevicePort::Open(options), "is not there");
  options = machine.Options("bar");
  options.ring_bar = 1; THROWS(DevicePort::Open(options), "has no BAR 1");
  options.ring_bar = 3; THROWS(DevicePort::Open(options), "is not memory");
  options.ring_bar = 5; THROWS(DevicePort::Open(options), "no line for BAR 5");
  options.ring_bar = 6; THROWS(DevicePort::Open(options), "0 to 5");
  options = machine.Options("bar");
  options.ring_at = 100; THROWS(DevicePort::Open(options), "multiple of the page size");
  options.ring_at = 4096; THROWS(DevicePort::Open(options), "not QKDRING1");
  options.ring_at = kBarBytes; THROWS(DevicePort::Open(options), "behind the end of the BAR");
  options.ring_at = 0x12000; machine.FormatBar(0x12000); THROWS(DevicePort::Open(options), "region is shorter");
  options.kind = "sockets"; THROWS(DevicePort::Open(options), "no such kind");
  options = machine.Options("bar");
  options.dma = true; THROWS(DevicePort::Open(options), "needs uio or vfio");
  THROWS(DevicePort::Open(machine.Options("vfio")), "no IOMMU group");
  CHECK(machine.Read("enable") == "0");  // every attempt that failed gave it back
}

TEST("a resource file whose length is not the BAR's is not mapped") {
  Machine machine;
  CHECK(truncate((machine.device + "/resource2").c_str(), kBarBytes / 2) == 0);
  THROWS(DevicePort::Open(machine.Options("bar")), "has not the 131072 bytes");
}

TEST("a BAR that shrinks or reads as ones: no SIGBUS, the port says that the device is gone") {
  Machine machine;
  auto port = DevicePort::Open(machine.Options("bar"));
  CHECK(truncate((machine.device + "/resource2").c_str(), 0) == 0);
  Side side(port->region()->view());
  CHECK(side.Drain().records == 0 && port->Check().gone);
  machine.FormatBar(8192);
  port = DevicePort::Open(machine.Options("bar"));
  CHECK(!port->Check().gone);
  memset(port->region()->view().base, 0xFF, 4096);  // what PCI gives when nobody answers
  CHECK(port->Check().gone && port->region()->Lost());
}

TEST("registers: width and place are checked, and a shrunk file reads as zeros") {
  Machine machine;
  const auto port = DevicePort::Open(machine.Options("bar"));
  Registers& registers = port->registers(0);
  registers.Write32(0x10, 0xDEADBEEF);
  registers.Write64(0x18, 0x1122334455667788);
  CHECK(registers.Read32(0x10) == 0xDEADBEEF && registers.Read64(0x18) == 0x1122334455667788);
  CHECK(machine.Read("resource0").substr(0x10, 4) == "\xEF\xBE\xAD\xDE");
  THROWS(registers.Read32(2), "no register of 4 bytes at 2");
  THROWS(registers.Read64(4), "no register of 8 bytes at 4");
  THROWS(registers.Write32(4096, 0), "it has 4096 bytes");
  THROWS(registers.Read32(UINT64_MAX - 3), "no register");
  THROWS(port->registers(1), "has no BAR 1");
  THROWS(port->registers(6), "0 to 5");
  CHECK(truncate((machine.device + "/resource0").c_str(), 0) == 0);
  CHECK(registers.Read32(0x10) == 0 && port->Check().gone);
}

TEST("the doorbell register gets its value when the device is rung") {
  Machine machine;
  PortOptions options = machine.Options("bar");
  options.doorbell = Place{0, 12};
  options.doorbell_value = 0x30001;
  const auto port = DevicePort::Open(options);
  port->RingDevice();
  CHECK(port->registers(0).Read32(12) == 0x30001);
  options.doorbell = Place{0, 4096};
  THROWS(DevicePort::Open(options), "no register of 4 bytes at 4096");
}

TEST("UIO: each interrupt is taken back, allowed again, counted, and rings the bell") {
  Machine machine;
  const uint16_t off = kCommandIntxOff;
  PortOptions options = machine.Options("uio");
  options.interrupt_status = Place{0, 0x24};
  options.interrupt_ack = Place{0, 0x64};
  const auto port = DevicePort::Open(options);
  CHECK(std::string(port->interrupt_kind()) == "intx" && port->bell_fd() >= 0);
  CHECK((machine.Command() & kCommandMemory) && !(machine.Command() & (off | kCommandBusMaster)));
  CHECK(machine.Read("enable") == "0");  // that is uio_pci_generic's business
  port->registers(0).Write32(0x24, 0x5A);
  const OwnedFd node(open((machine.root + "/uio7").c_str(), O_WRONLY | O_NONBLOCK));
  const OwnedFd config(open((machine.device + "/config").c_str(), O_RDWR));
  for (uint32_t i = 1; i <= 3; ++i) {
    const uint16_t masked = kCommandMemory | off;  // as the driver leaves it
    CHECK(pwrite(config.get(), &masked, 2, kCommandAt) == 2);
    CHECK(write(node.get(), &i, 4) == 4);
    CHECK(Rings(port->bell_fd(), 5'000));
    CHECK(port->registers(0).Read32(0x64) == 0x5A && !(machine.Command() & off));
    CHECK(port->Check().interrupts == i);
  }
  CHECK(!Rings(port->bell_fd(), 20));
  port->Quiesce();
  CHECK(machine.Command() & off);
  port->Quiesce();
}

TEST("UIO: a device that no UIO driver has, and half an interrupt description, are refused") {
  Machine machine;
  PortOptions options = machine.Options("uio");
  options.interrupt_status = Place{0, 0x24};
  THROWS(DevicePort::Open(options), "both a status register");
  rmdir((machine.device + "/uio/uio7").c_str());
  machine.Driver("nvme");
  THROWS(DevicePort::Open(machine.Options("uio")), "no UIO driver has this device (its driver is \"nvme\")");
  options = machine.Options("uio");
  options.interrupt = false;
  CHECK(DevicePort::Open(options)->bell_fd() == -1);
}

TEST("UIO: errors that the device's status register shows are told once, and a dead configuration space is gone") {
  Machine machine;
  PortOptions options = machine.Options("uio");
  options.interrupt = false;
  const auto port = DevicePort::Open(options);
  const OwnedFd config(open((machine.device + "/config").c_str(), O_RDWR));
  const uint16_t abort = 0x2010, dead = 0xFFFF;
  CHECK(pwrite(config.get(), &abort, 2, kStatusAt) == 2);
  const PortHealth health = port->Check();
  CHECK(health.status == kStatusMasterAbort && !health.gone);
  CHECK(pwrite(config.get(), &dead, 2, kStatusAt) == 2);
  CHECK(port->Check().gone);
}

TEST("VFIO: a device bound elsewhere, or without its nodes, is refused before anything is touched") {
  Machine machine;
  (void)!symlink("../../kernel/iommu_groups/17", (machine.device + "/iommu_group").c_str());
  THROWS(DevicePort::Open(machine.Options("vfio")), "bound to \"uio_pci_generic\"; bind vfio-pci");
  machine.Driver("vfio-pci");
  THROWS(DevicePort::Open(machine.Options("vfio")), "vfio/vfio");
  mkdir((machine.root + "/vfio").c_str(), 0700);
  const OwnedFd node(open((machine.root + "/vfio/vfio").c_str(), O_CREAT | O_RDWR, 0600));
  THROWS(DevicePort::Open(machine.Options("vfio")), "does not speak VFIO");
}

TEST("lines of IOMMU drivers are read, of this function only") {
  const char* mine = "0000:00:03.0";
  const auto intel = ParseIommuFault("3,512,3921,-;DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x900000 [fault reason 0x05] PTE Write access is not set", mine);
  CHECK(intel && intel->address == 0x900000 && intel->write && intel->known_direction);
  const auto older = ParseIommuFault("DMAR: [DMA Read] Request device [00:03.0] PASID ffffffff fault addr ffe0000 [fault reason 06]", mine);
  CHECK(older && older->address == 0xffe0000 && !older->write);
  const auto amd = ParseIommuFault("vfio-pci 0000:00:03.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000d address=0xfee0 flags=0x0020]", mine);
  CHECK(amd && amd->address == 0xfee0 && amd->write);
  CHECK(!ParseIommuFault("DMAR: [DMA Write] Request device [00:04.0] fault addr 0x900000", mine));
  CHECK(!ParseIommuFault("DMAR: [DMA Write] Request device [00:03.0] fault addr", mine));
  CHECK(!ParseIommuFault("vfio-pci 0000:00:04.0: AMD-Vi: Event logged [IO_PAGE_FAULT address=0x1 flags=0]", mine));
  CHECK(!ParseIommuFault("", mine) && !ParseIommuFault("DMAR:", ""));
}

TEST("the kernel's log is followed from now on; a log that cannot be read is said to be") {
  Machine machine;
  const std::string path = machine.root + "/kmsg";
  mkfifo(path.c_str(), 0600);
  const OwnedFd writer(open(path.c_str(), O_RDWR));
  IommuLog gone(machine.root + "/none", "0000:00:03.0");
  CHECK(!gone.readable());
  uint64_t more = 7;
  CHECK(gone.Take(&more).empty() && more == 0);
}

TEST("a huge page holds at most 256 slots, and the physical address is known or refused with a reason") {
  THROWS(Region::CreateMemfd({.nslots = 1024, .stride = 4096, .link = kLink}, Region::Pages::kHuge), "shorter than its slots");
  void* page = aligned_alloc(4096, 4096);
  memset(page, 1, 4096);
  try {
    CHECK(PhysicalAddress(page) % 4096 == 0);
  } catch (const RingError& e) {
    CHECK(strstr(e.what(), "CAP_SYS_ADMIN") != nullptr);
  }
  free(page);
}

TEST_MAIN()
