#include "pci/function.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region.h"

namespace qkme::pci {
namespace {

constexpr uint64_t kResourceIo = 0x100, kResourceMemory = 0x200;  // IORESOURCE_IO, IORESOURCE_MEM of the kernel

[[noreturn]] void Throw(const std::string& where, const std::string& what) { throw RingError("PCI device " + where + ": " + what); }
std::string Why() { return strerror(errno); }

bool AddressForm(const std::string& address) {
  // 0000:00:00.0; a domain may have more digits (VMD controllers).
  size_t domain = address.find(':');
  if (domain < 4 || domain > 8 || address.size() != domain + 8) return false;
  for (size_t i = 0; i < address.size(); ++i) {
    const bool colon = i == domain || i == domain + 3, dot = i == domain + 6;
    if (colon ? address[i] != ':' : dot ? address[i] != '.' : !strchr("0123456789abcdef", address[i])) return false;
  }
  return address.back() <= '7';
}

std::string ReadText(const std::string& path, const std::string& address) {
  const OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t length = fd ? read(fd.get(), text, sizeof text) : -1;
  if (length < 0) Throw(address, "cannot read " + path + ": " + Why());
  return {text, size_t(length)};
}

}  // namespace

Function::Function(const std::string& address, const Roots& roots) : address_(address), roots_(roots) {
  if (!AddressForm(address)) Throw("\"" + address + "\"", "an address looks like 0000:3b:00.0 (lspci -D shows it)");
  folder_ = roots.devices + "/" + address;
  struct stat info;
  if (stat(folder_.c_str(), &info) != 0) Throw(address, "is not there (" + Why() + "); see lspci -D, or rescan the bus");
}

uint64_t Function::Number(const std::string& leaf) const {
  const std::string text = ReadText(Path(leaf), address_);
  char* end = nullptr;
  errno = 0;
  const uint64_t value = strtoull(text.c_str(), &end, 0);
  if (errno != 0 || end == text.c_str()) Throw(address_, Path(leaf) + " holds no number");
  return value;
}

std::string Function::Link(const std::string& leaf) const {
  char target[512];
  const ssize_t length = readlink(Path(leaf).c_str(), target, sizeof target);
  if (length <= 0 || size_t(length) == sizeof target) return "";
  const std::string text(target, size_t(length));
  return text.substr(text.rfind('/') + 1);
}

Bar Function::MemoryBar(unsigned number) const {
  if (number >= kBars) Throw(address_, "BARs have the numbers 0 to 5");
  const std::string text = ReadText(Path("resource"), address_);
  size_t line = 0;
  for (unsigned i = 0; i < number && line != std::string::npos; ++i) {
    line = text.find('\n', line);
    if (line != std::string::npos) line += 1;
  }
  unsigned long long first = 0, last = 0, flags = 0;
  if (line == std::string::npos || sscanf(text.c_str() + line, "%llx %llx %llx", &first, &last, &flags) != 3) {
    Throw(address_, Path("resource") + " has no line for BAR " + std::to_string(number));
  }
  if (first == 0 && last == 0) Throw(address_, "has no BAR " + std::to_string(number) + " (or the firmware gave it no address)");
  if (!(flags & kResourceMemory) || (flags & kResourceIo) || last < first) {
    Throw(address_, "BAR " + std::to_string(number) + " is not memory");
  }
  return {uint64_t(last) - first + 1, true};
}

OwnedFd Function::OpenBar(unsigned number) const {
  const Bar bar = MemoryBar(number);
  const std::string path = Path("resource" + std::to_string(number));
  OwnedFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) Throw(address_, "cannot open " + path + ": " + Why() + (errno == EACCES ? "; give this user write access to it" : ""));
  struct stat info;
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || uint64_t(info.st_size) != bar.bytes) {
    Throw(address_, path + " has not the " + std::to_string(bar.bytes) + " bytes of BAR " + std::to_string(number));
  }
  return fd;
}

void Function::Enable(bool on) const {
  const std::string path = Path("enable");
  const OwnedFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), on ? "1" : "0", 1) != 1) Throw(address_, "cannot switch memory on through " + path + ": " + Why());
}

OwnedFd Function::OpenConfig() const {
  const std::string path = Path("config");
  OwnedFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) Throw(address_, "cannot open " + path + ": " + Why());
  return fd;
}

uint16_t Config::Read16(unsigned at) const {
  uint16_t value = 0;
  if (pread(fd_, &value, sizeof value, off_t(offset_ + at)) != ssize_t(sizeof value)) Throw(where_, "cannot read its configuration space: " + Why());
  return value;
}

void Config::Write16(unsigned at, uint16_t value) const {
  if (pwrite(fd_, &value, sizeof value, off_t(offset_ + at)) != ssize_t(sizeof value)) Throw(where_, "cannot write its configuration space: " + Why());
}

void Config::Command(uint16_t set, uint16_t clear) const {
  const uint16_t now = Read16(kCommandAt);
  if (now == 0xFFFF) Throw(where_, "does not answer (its configuration space reads as ones)");
  const uint16_t wanted = uint16_t((now | set) & ~clear);
  if (wanted != now) Write16(kCommandAt, wanted);
}

uint16_t Config::TakeErrors() const noexcept {
  uint16_t value = 0;
  if (pread(fd_, &value, sizeof value, off_t(offset_ + kStatusAt)) != ssize_t(sizeof value) || value == 0xFFFF) return 0xFFFF;
  const uint16_t errors = value & kStatusErrors;
  if (errors != 0 && pwrite(fd_, &errors, sizeof errors, off_t(offset_ + kStatusAt)) != ssize_t(sizeof errors)) return 0xFFFF;
  return errors;
}

}  // namespace qkme::pci
