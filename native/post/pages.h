// Large zeroed memory straight from the kernel, in huge pages where it has them: books of many megabytes are touched at
// random places, and with small pages a third of the time went into page tables. Wiped before it is given back.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace qkme::post {

class ZeroPages {
 public:
  ZeroPages() = default;
  /// @throws std::bad_alloc.
  explicit ZeroPages(size_t words) : bytes_((words * sizeof(uint64_t) + kRound - 1) / kRound * kRound) {
    // A huge page begins at a multiple of its size: a little more is asked for, and what is around it given back.
    const size_t more = bytes_ >= kHuge ? kHuge - kRound : 0;
    void* const at = mmap(nullptr, bytes_ + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    uint8_t* const from = static_cast<uint8_t*>(at);
    const size_t before = more == 0 ? 0 : (kHuge - reinterpret_cast<uintptr_t>(from) % kHuge) % kHuge;
    if (before > 0) munmap(from, before);
    if (more > before) munmap(from + before + bytes_, more - before);
    words_ = reinterpret_cast<uint64_t*>(from + before);
    if (bytes_ >= kHuge) madvise(words_, bytes_, MADV_HUGEPAGE);  // Only a wish.
  }
  ZeroPages(ZeroPages&& other) noexcept : words_(std::exchange(other.words_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  ZeroPages& operator=(ZeroPages&& other) noexcept {
    std::swap(words_, other.words_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ZeroPages() {
    if (words_ == nullptr) return;
    explicit_bzero(words_, bytes_);
    munmap(words_, bytes_);
  }

  uint64_t& operator[](size_t i) { return words_[i]; }
  const uint64_t& operator[](size_t i) const { return words_[i]; }

 private:
  static constexpr size_t kRound = 4096, kHuge = 2u << 20;

  uint64_t* words_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace qkme::post
