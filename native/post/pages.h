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
    void* const at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    words_ = static_cast<uint64_t*>(at);
    if (bytes_ >= kHuge) madvise(at, bytes_, MADV_HUGEPAGE);  // Only a wish.
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
