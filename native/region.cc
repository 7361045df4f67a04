#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sigbus_guard.h"

namespace qkme {
namespace {

[[noreturn]] void Throw(const std::string& where, const std::string& what) { throw RingError("ring " + where + ": " + what); }
std::string Why() { return strerror(errno); }

// Formats through a mapping of its own; the caller maps again with all checks.
void Format(int fd, const RingGeometry& geometry, size_t length, const std::string& where) {
  // Reserving the pages makes a full /dev/shm an error here instead of a SIGBUS at some later write.
  if (const int fault = posix_fallocate(fd, 0, off_t(length)); fault != 0) {
    Throw(where, "cannot reserve " + std::to_string(length) + " bytes (" + strerror(fault) + "); free memory or use fewer slots");
  }
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) Throw(where, "cannot map: " + Why());
  FormatRing(static_cast<uint8_t*>(base), geometry);
  munmap(base, length);
}

// A new file becomes visible under its name only when it is complete.
int CreateFile(const std::string& path, const RingGeometry& geometry) {
  const std::string fresh = path + ".new." + std::to_string(getpid());
  unlink(fresh.c_str());
  const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) Throw(path, "cannot create: " + Why());
  try {
    Format(fd, geometry, geometry.RegionBytes(), path);
    if (link(fresh.c_str(), path.c_str()) != 0) Throw(path, "cannot create: " + Why());
  } catch (...) {
    unlink(fresh.c_str());
    close(fd);
    throw;
  }
  unlink(fresh.c_str());
  return fd;
}

}  // namespace

Region::~Region() {
  if (view_.base != nullptr) {
    if (guard_ >= 0) UnguardMapping(guard_);
    // A guard that tripped has replaced the mapping, at the same place and length.
    munmap(view_.base, length_);
  }
  if (fd_ >= 0) close(fd_);
}

std::unique_ptr<Region> Region::CreateMemfd(const RingGeometry& geometry, Pages pages) {
  const bool huge = pages == Pages::kHuge;
  const uint64_t length = huge ? kHugePageBytes : geometry.RegionBytes();
  if (const char* fault = GeometryFault(geometry, length)) Throw(huge ? "in a huge page of 2 MiB" : "in memory", fault);
  const int fd = memfd_create("qkme-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
  if (fd < 0) Throw("in memory", "memfd_create: " + Why());
  std::unique_ptr<Region> region(new Region);
  region->fd_ = fd;
  Format(fd, geometry, length, "in memory");
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) Throw("in memory", "cannot seal: " + Why());
  region->Map("in memory");
  return region;
}

std::unique_ptr<Region> Region::OpenOrCreateFile(const std::string& path, const RingGeometry& geometry) {
  if (const char* fault = GeometryFault(geometry, geometry.RegionBytes())) Throw(path, fault);
  int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) fd = CreateFile(path, geometry);
  if (fd < 0) Throw(path, "cannot open: " + Why());
  std::unique_ptr<Region> region(new Region);
  region->fd_ = fd;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) Throw(path, "another process reads this ring; stop it first");
  region->Map(path);
  const RingGeometry& found = region->view_.geometry;
  if (found.link != geometry.link) {
    Throw(path, "is the ring of link " + std::to_string(found.link) + ", not of link " + std::to_string(geometry.link));
  }
  return region;
}

std::unique_ptr<Region> Region::AttachPath(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) Throw(path, "cannot open: " + Why());
  return AttachFd(fd, path);
}

std::unique_ptr<Region> Region::AttachFd(int fd, const std::string& where) {
  std::unique_ptr<Region> region(new Region);
  region->fd_ = fd;
  region->Map(where);
  return region;
}

std::unique_ptr<Region> Region::AttachSpan(int fd, uint64_t offset, uint64_t length, const std::string& where) {
  std::unique_ptr<Region> region(new Region);
  region->fd_ = fd;
  region->where_ = where;
  region->device_ = true;
  if (offset % uint64_t(sysconf(_SC_PAGESIZE)) != 0) Throw(where, "a ring begins at a multiple of the page size");
  if (length < kSlotsOffset || length > uint64_t{1} << 34) Throw(where, "has " + std::to_string(length) + " bytes, which no ring has");
  region->MapBytes(offset, length);
  return region;
}

void Region::Map(const std::string& where) {
  where_ = where;
  struct stat info;
  if (fstat(fd_, &info) != 0) Throw(where, "cannot stat: " + Why());
  if (!S_ISREG(info.st_mode)) Throw(where, "is not a file or shared memory");
  if (info.st_size < off_t(kSlotsOffset) || info.st_size > off_t{1} << 34) {
    Throw(where, "has " + std::to_string(info.st_size) + " bytes, which no ring has");
  }
  const int seals = fcntl(fd_, F_GET_SEALS);
  sealed_ = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
  MapBytes(0, size_t(info.st_size));
}

void Region::MapBytes(uint64_t offset, size_t length) {
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, off_t(offset));
  if (base == MAP_FAILED) Throw(where_, "cannot map: " + Why());
  view_.base = static_cast<uint8_t*>(base);
  length_ = length;
  if (!sealed_ && (guard_ = GuardMapping(base, length)) < 0) Throw(where_, "too many rings in one process (64)");
  madvise(base, length, MADV_DONTDUMP);
  madvise(base, length, MADV_DONTFORK);
  // The limit on locked memory is often smaller than a ring, so a refusal is told (`locked`), not an error.
  locked_ = mlock(base, length) == 0;
  if (const char* fault = ReadRingHeader(view_.base, length, &view_.geometry)) Throw(where_, fault);
}

int Region::ShareFd() const {
  const int fd = open(("/proc/self/fd/" + std::to_string(fd_)).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) Throw(where_, "cannot open anew for the device (is /proc mounted?): " + Why());
  return fd;
}

bool Region::Lost() const {
  if (sealed_) return false;
  if (GuardTripped(guard_)) return true;
  // A PCI device that is gone raises no signal: its memory reads as ones.
  if (device_) return view_.control()->magic.load(std::memory_order_relaxed) != kRingMagic;
  struct stat info;
  return fstat(fd_, &info) != 0 || size_t(info.st_size) < length_;
}

}  // namespace qkme
