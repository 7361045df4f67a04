// What a fuzz target shows to its driver: libFuzzer's, or native/fuzz/main.cc where there is no clang.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace qkme::fuzz {

using Bytes = std::vector<uint8_t>;

/// Good inputs to begin with. Each target has its own.
std::vector<Bytes> Seeds();

/// A rule does not hold: the driver keeps the input.
[[noreturn]] inline void Die(const char* what) {
  std::fprintf(stderr, "rule broken: %s\n", what);
  std::abort();
}

inline void Must(bool condition, const char* what) {
  if (!condition) Die(what);
}

/// Cuts an input into numbers and stretches; zeros when it is at its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  size_t left() const { return left_; }
  uint8_t U8() { uint8_t value = 0; Take(&value, 1); return value; }
  uint16_t U16() { uint16_t value = 0; Take(&value, 2); return value; }
  uint32_t U32() { uint32_t value = 0; Take(&value, 4); return value; }
  /// At most `length` bytes into `to`. Returns how many there were.
  size_t Take(void* to, size_t length) {
    if (length > left_) length = left_;
    if (length > 0) std::memcpy(to, data_, length);
    data_ += length;
    left_ -= length;
    return length;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace qkme::fuzz
