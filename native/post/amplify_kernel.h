// What the instruction sets give to privacy amplification, and how words make up the product.
//
// A Toeplitz product in words: y[p] = word (count + p) of the product of the polynomials s and x over GF(2), for
// x of `count` words, s (the window) of twice as many, and p < count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace qkme::post::amplify {

/// An element of GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bit i of (low, high) the coefficient of x^i.
struct alignas(16) Element {
  uint64_t low;
  uint64_t high;
};

/// Points of a transform. Modulo x^65536 - x, whose roots they are, products wrap.
inline constexpr size_t kLevels = 16;
inline constexpr size_t kPoints = size_t{1} << kLevels;
/// Words of input and of output of one tile of the transform's product.
inline constexpr size_t kTileWords = kPoints / 2;

inline constexpr size_t kSquareWork = 5;

struct Kernel {
  const char* name;
  size_t base_words;  ///< of a product done directly; a power of two, at least 8
  /// y ^= the product of `count` words, base_words times a power of two. `work`: kSquareWork * count words.
  void (*square)(uint64_t* y, const uint64_t* window, const uint64_t* x, size_t count, uint64_t* work);
  /// Coefficients in the basis of basis.h to the values at all points, in an order of the kernel's own, and back.
  void (*forward)(Element* data);
  void (*inverse)(Element* data);
  /// out = sum over k < count of a[k] b[k], point by point.
  void (*dot)(Element* out, const Element* const* a, const Element* const* b, size_t count);
  double base_us;       ///< roughly; for the choice of a method
  double transform_us;
  double dot_us;
};

extern const Kernel kPortableKernel;
#if defined(__x86_64__)
extern const Kernel kPclmulKernel;
extern const Kernel kVpclmul512Kernel;
#endif

/// Zeroed memory on a cache line, wiped when it goes.
template <typename T>
class Scratch {
 public:
  explicit Scratch(size_t count) : bytes_((count * sizeof(T) + 63) / 64 * 64), data_(static_cast<T*>(std::aligned_alloc(64, bytes_ + 64))) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(static_cast<void*>(data_), 0, bytes_ + 64);
  }
  ~Scratch() {
    explicit_bzero(static_cast<void*>(data_), bytes_);
    std::free(data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() { return data_; }
  T& operator[](size_t i) { return data_[i]; }

 private:
  size_t bytes_;
  T* data_;
};

/// y ^= T x of outputs x inputs words, both multiples of `tile`, which is base_words times a power of two. `seed` has
/// inputs + outputs words: y[p] is word (inputs + p) of the product.
void KaratsubaProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t tile);
/// The same; inputs and outputs are multiples of kTileWords.
void TransformProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs);

}  // namespace qkme::post::amplify
