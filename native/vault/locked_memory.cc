#include "vault/locked_memory.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "vault/error.h"

namespace qkme::vault {
namespace {

// Regions that are alive, for the wipe at exit. Never destroyed: exit handlers run in an order we do not choose.
struct Regions {
  std::mutex mutex;
  std::vector<const LockedRegion*> alive;
};

void WipeAllRegions();

Regions& AllRegions() {
  static Regions* const regions = [] {
    std::atexit(WipeAllRegions);
    return new Regions;
  }();
  return *regions;
}

void WipeAllRegions() {
  const std::lock_guard lock(AllRegions().mutex);
  for (const LockedRegion* region : AllRegions().alive) Wipe(region->data(), region->bytes());
}

}  // namespace

void Wipe(void* bytes, size_t length) { explicit_bzero(bytes, length); }

bool EqualConstantTime(const uint8_t* a, const uint8_t* b, size_t length) {
  uint8_t difference = 0;
  for (size_t i = 0; i < length; ++i) {
    difference |= a[i] ^ b[i];
    __asm__("" : "+r"(difference));  // Keeps the compiler from leaving the loop early.
  }
  return difference == 0;
}

void ForbidCoreDumps() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    throw VaultError("INTERNAL", std::string("cannot forbid core dumps (PR_SET_DUMPABLE): ") + std::strerror(errno));
  }
}

LockedRegion::LockedRegion(size_t bytes, bool allow_unlocked) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  {
    // Room for its entry first: nothing may fail once memory is locked.
    const std::lock_guard lock(AllRegions().mutex);
    AllRegions().alive.reserve(AllRegions().alive.size() + 1);
  }
  bytes_ = (bytes + page - 1) / page * page;
  void* const at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    throw VaultError("INTERNAL", "no memory for the vault (" + std::to_string(bytes_) + " bytes): " + std::strerror(errno));
  }
  data_ = static_cast<uint8_t*>(at);
  // Core dumps are off as well; a kernel without these two options is older than any that runs Node 20.
  madvise(data_, bytes_, MADV_DONTDUMP);
  madvise(data_, bytes_, MADV_DONTFORK);
  locked_ = mlock(data_, bytes_) == 0;
  if (locked_ || allow_unlocked) {
    const std::lock_guard lock(AllRegions().mutex);
    AllRegions().alive.push_back(this);
    return;
  }
  const int cause = errno;
  munmap(data_, bytes_);
  throw VaultError("MEMORY_NOT_LOCKED",
                   "cannot lock " + std::to_string(bytes_ / 1024) + " KiB of memory for keys (" + std::strerror(cause) +
                       "): raise the limit (ulimit -l, or LimitMEMLOCK= in the systemd unit, or --ulimit memlock= of the "
                       "container), choose a smaller arena, or set allow_unlocked_memory to accept that keys may reach swap");
}

LockedRegion::~LockedRegion() {
  {
    const std::lock_guard lock(AllRegions().mutex);
    std::erase(AllRegions().alive, this);
  }
  Wipe(data_, bytes_);
  munmap(data_, bytes_);  // Unlocks too.
}

}  // namespace qkme::vault
