#include "pci/registers.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "region.h"
#include "sigbus_guard.h"

namespace qkme::pci {

Registers::Registers(OwnedFd fd, uint64_t offset, uint64_t bytes, const std::string& where)
    : fd_(std::move(fd)), bytes_(bytes), where_(where) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), off_t(offset));
  if (base == MAP_FAILED) throw RingError(where + ": cannot map: " + strerror(errno));
  base_ = static_cast<uint8_t*>(base);
  madvise(base, bytes, MADV_DONTDUMP);
  madvise(base, bytes, MADV_DONTFORK);
  if ((guard_ = GuardMapping(base, bytes)) < 0) {
    munmap(base, bytes);
    throw RingError(where + ": too many mappings of devices in one process (64)");
  }
}

Registers::~Registers() {
  UnguardMapping(guard_);
  munmap(base_, bytes_);
}

bool Registers::Lost() const { return GuardTripped(guard_); }

template <class Word>
volatile Word* Registers::At(uint64_t at) const {
  if (at % sizeof(Word) != 0 || bytes_ < sizeof(Word) || at > bytes_ - sizeof(Word)) {
    throw RingError(where_ + ": no register of " + std::to_string(sizeof(Word)) + " bytes at " + std::to_string(at) + " (it has " +
                    std::to_string(bytes_) + " bytes)");
  }
  return reinterpret_cast<volatile Word*>(base_ + at);
}

void Registers::Require32(uint64_t at) const { (void)At<uint32_t>(at); }
uint32_t Registers::Read32(uint64_t at) const { return *At<uint32_t>(at); }
uint64_t Registers::Read64(uint64_t at) const { return *At<uint64_t>(at); }

// Stores to ring memory before a register write must be there when the device sees it: x86 keeps their order, others need the fence.
void Registers::Write32(uint64_t at, uint32_t value) {
  volatile uint32_t* word = At<uint32_t>(at);
  FullFence();
  *word = value;
}

void Registers::Write64(uint64_t at, uint64_t value) {
  volatile uint64_t* word = At<uint64_t>(at);
  FullFence();
  *word = value;
}

}  // namespace qkme::pci
