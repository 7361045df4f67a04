// What the instruction sets give to privacy amplification, and how words make up the product.
//
// A Toeplitz product in words: y[p] = word (count + p) of the product of the polynomials s and x over GF(2), for
// x of `count` words, s (the window) of twice as many, and p < count.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme::post::amplify {

/// An element of GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bit i of (low, high) the coefficient of x^i.
struct alignas(16) Element {
  uint64_t low;
  uint64_t high;
};

/// A transform of so many levels has 2^levels points, which are words of a window; its tile has half as many inputs and outputs.
inline constexpr size_t kLevelsMin = 12;
inline constexpr size_t kLevelsMax = 16;
constexpr size_t Points(size_t levels) { return size_t{1} << levels; }
constexpr size_t TileWords(size_t levels) { return Points(levels) / 2; }

inline constexpr size_t kSquareWork = 5;

struct Kernel {
  const char* name;
  size_t base_words;  ///< of a product done directly; a power of two, at least 8
  /// y ^= the product of `count` words, base_words times a power of two. `work`: kSquareWork * count words.
  void (*square)(uint64_t* y, const uint64_t* window, const uint64_t* x, size_t count, uint64_t* work);
  /// Coefficients in the basis of amplify_basis.h to the values at all points, in an order of the kernel's own.
  void (*values)(Element* data, size_t levels);
  /// The transposed of the way back from values to coefficients.
  void (*inverse_transposed)(Element* data, size_t levels);
  /// The transposed of `values`.
  void (*values_transposed)(Element* data, size_t levels);
  /// out = sum over k < count of a[k] b[k], point by point.
  void (*dot)(Element* out, const Element* const* a, const Element* const* b, size_t count, size_t levels);
  double base_us;       ///< roughly; for the choice of a method
  double transform_us;  ///< of kLevelsMax levels, with the change of basis
  double dot_us;        ///< of kLevelsMax levels
};

extern const Kernel kPortableKernel;
#if defined(__x86_64__)
extern const Kernel kPclmulKernel;
extern const Kernel kVpclmul512Kernel;
#endif

/// y ^= T x of outputs x inputs words, both multiples of `tile`, which is base_words times a power of two. `seed` has
/// inputs + outputs words: y[p] is word (inputs + p) of the product.
void KaratsubaProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t tile);
/// The same; inputs and outputs are multiples of TileWords(levels).
void TransformProduct(const Kernel& kernel, uint64_t* y, size_t outputs, const uint64_t* seed, const uint64_t* x, size_t inputs, size_t levels);

}  // namespace qkme::post::amplify
