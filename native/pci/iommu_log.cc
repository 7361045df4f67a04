#include "pci/iommu_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

namespace qkme::pci {
namespace {

// The number behind `name`, in hexadecimal with or without 0x: "fault addr 0x900000", "address=0x900000".
std::optional<uint64_t> NumberBehind(std::string_view line, std::string_view name) {
  const size_t at = line.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string rest(line.substr(at + name.size(), 20));
  char* end = nullptr;
  const uint64_t value = strtoull(rest.c_str(), &end, 16);
  if (end == rest.c_str()) return std::nullopt;
  return value;
}

bool Has(std::string_view line, std::string_view part) { return line.find(part) != std::string_view::npos; }

}  // namespace

std::optional<IommuFault> ParseIommuFault(std::string_view line, std::string_view address) {
  if (address.size() < 7) return std::nullopt;
  // Intel names the function without its domain.
  const std::string short_name = "[" + std::string(address.substr(address.size() - 7)) + "]";
  if (Has(line, "DMAR:") && Has(line, "Request device") && Has(line, short_name)) {
    const auto at = NumberBehind(line, "fault addr ");
    if (at) return IommuFault{*at, Has(line, "[DMA Write"), Has(line, "[DMA Write") || Has(line, "[DMA Read")};
  }
  if (Has(line, "IO_PAGE_FAULT") && (Has(line, std::string(address) + ": AMD-Vi") || Has(line, "device=" + std::string(address)))) {
    const auto at = NumberBehind(line, "address=");
    const auto flags = NumberBehind(line, "flags=");
    if (at) return IommuFault{*at, flags && (*flags & 0x20) != 0, flags.has_value()};
  }
  return std::nullopt;
}

IommuLog::IommuLog(const std::string& path, std::string address)
    : fd_(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)), address_(std::move(address)) {
  if (fd_ && lseek(fd_.get(), 0, SEEK_END) < 0) fd_.Reset();
}

std::vector<IommuFault> IommuLog::Take(uint64_t* more) {
  std::vector<IommuFault> faults;
  *more = 0;
  if (!fd_) return faults;
  char line[8192];  // the kernel gives one record per read, at most this long
  for (size_t i = 0; i < kLinesPerTake; ++i) {
    const ssize_t length = read(fd_.get(), line, sizeof line);
    // EPIPE: lines were overwritten before they were read; EINVAL: a record longer than the buffer. Both are passed over.
    if (length < 0 && (errno == EPIPE || errno == EINVAL || errno == EINTR)) continue;
    if (length <= 0) break;
    const auto fault = ParseIommuFault({line, size_t(length)}, address_);
    if (!fault) continue;
    if (faults.size() < kFaultsKept) faults.push_back(*fault);
    else *more += 1;
  }
  return faults;
}

}  // namespace qkme::pci
