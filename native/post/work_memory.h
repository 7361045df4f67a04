// Working memory of post-processing: on a cache line, wiped when it goes. What fits into a piece that each thread keeps comes from there,
// because fresh pages of the system cost as much as the transforms that are done in them.
#pragma once

#include <string.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "post/pages.h"

namespace qkme::post {

/// One huge page of each thread that has needed it, kept until the thread ends. Given out and taken back as a stack.
class KeptMemory {
 public:
  static constexpr size_t kBytes = 2u << 20;

  /// `bytes` is a multiple of 64. @throws std::bad_alloc.
  static uint8_t* Take(size_t bytes) {
    KeptMemory& kept = Mine();
    if (bytes > kBytes - kept.used_) return Allocate(bytes);
    uint8_t* const taken = kept.Base() + kept.used_;
    kept.used_ += bytes;
    return taken;
  }
  /// What was taken last and not given back yet.
  static void GiveBack(uint8_t* memory, size_t bytes) {
    KeptMemory& kept = Mine();
    if (memory >= kept.Base() && memory < kept.Base() + kBytes) kept.used_ -= bytes;
    else std::free(memory);
  }

 private:
  static KeptMemory& Mine() {
    static thread_local KeptMemory mine;
    return mine;
  }
  static uint8_t* Allocate(size_t bytes) {
    void* const memory = std::aligned_alloc(64, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<uint8_t*>(memory);
  }
  uint8_t* Base() { return reinterpret_cast<uint8_t*>(&pages_[0]); }

  ZeroPages pages_{kBytes / sizeof(uint64_t)};
  size_t used_ = 0;
};

enum class Content { kZeros, kAnything };

/// `count` values and 64 bytes behind them, wiped when it goes. Lives in a scope: the last one made goes first.
template <typename T>
class Scratch {
 public:
  Scratch(size_t count, Content content) : bytes_((count * sizeof(T) + 63) / 64 * 64 + 64), data_(KeptMemory::Take(bytes_)) {
    if (content == Content::kZeros) std::memset(data_, 0, bytes_);
  }
  ~Scratch() {
    explicit_bzero(data_, bytes_);
    KeptMemory::GiveBack(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() { return reinterpret_cast<T*>(data_); }
  T& operator[](size_t i) { return data()[i]; }

 private:
  size_t bytes_;
  uint8_t* data_;
};

}  // namespace qkme::post
