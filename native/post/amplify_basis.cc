#include "post/amplify_basis.h"

#include <bit>
#include <utility>

namespace qkme::post::amplify {
namespace {

Element operator^(Element a, Element b) { return {a.low ^ b.low, a.high ^ b.high}; }

Element TimesX(Element a) {
  return {a.low << 1 ^ (a.high >> 63) * 0x87, a.high << 1 | a.low >> 63};
}

Element Multiply(Element a, Element b) {
  Element sum = {0, 0};
  for (int i = 0; i < 128; ++i, a = TimesX(a)) {
    const uint64_t mask = 0 - ((i < 64 ? b.low >> i : b.high >> (i - 64)) & 1);
    sum = sum ^ Element{a.low & mask, a.high & mask};
  }
  return sum;
}

// From the top down: an element of GF(2^16) whose trace is 1 leads to beta_0 = 1. The sum of a 2^16-th power's
// conjugates lies in GF(2^16), and some power of x has such a one.
void CantorBasis(Element* beta) {
  for (Element candidate = {2, 0};; candidate = TimesX(candidate)) {
    Element conjugate = candidate;
    Element sum = candidate;
    for (int i = 1; i < 8; ++i) {
      for (int j = 0; j < 16; ++j) conjugate = Multiply(conjugate, conjugate);
      sum = sum ^ conjugate;
    }
    beta[kLevelsMax - 1] = sum;
    for (size_t i = kLevelsMax - 1; i > 0; --i) beta[i - 1] = Multiply(beta[i], beta[i]) ^ beta[i];
    if (beta[0].low == 1 && beta[0].high == 0) return;
  }
}

Factor MakeFactor(Element w) {
  Element w64 = w;
  for (int i = 0; i < 64; ++i) w64 = TimesX(w64);
  return {w, w64};
}

// table[t] = the sum of beta[from + j] over the bits j of t.
void Fill(const Element* beta, size_t from, Factor* table, size_t count) {
  for (size_t t = 0; t < count; ++t) {
    Element sum = {0, 0};
    for (size_t j = 0; t >> j != 0; ++j) {
      if ((t >> j & 1) != 0) sum = sum ^ beta[from + j];
    }
    table[t] = MakeFactor(sum);
  }
}

Factors MakeFactors() {
  Element beta[kLevelsMax];
  CantorBasis(beta);
  Factors factors;
  Fill(beta, 1, factors.low, 256);
  Fill(beta, 9, factors.high, 64);
  Fill(beta, 2, factors.low2, 256);
  Fill(beta, 10, factors.high2, 64);
  factors.one = MakeFactor(beta[1]);
  return factors;
}

// One step of a change of basis, or of its transposed.
template <bool kTransposed>
inline void Add(uint64_t* to, uint64_t* from, size_t count) {
  if constexpr (kTransposed) std::swap(to, from);
  for (size_t i = 0; i < count; ++i) to[i] ^= from[i];
}
template <bool kTransposed>
inline void Add(Element* to, Element* from, size_t count) {
  Add<kTransposed>(&to->low, &from->low, 2 * count);
}

// Sizes are known when this is compiled: the innermost steps are a few additions each, without loops.
// s_i with i a power of two is x^(2^i) + x.
constexpr size_t Split(size_t levels) { return std::bit_floor(levels - 1); }

// The transposed of a chain of steps is the chain the other way round, each step transposed: that of a change forward goes as the one back,
// and is made by the same functions.
//
// x^j = x^(j - half) (s + x^shift) for j >= half, with s = x^half + x^shift: the quotient stays where it is.
template <size_t kHalf, size_t kShift, size_t kUnit, bool kTransposed, typename T>
inline void Divide(T* data) {
  Add<kTransposed>(data + kHalf * kUnit, data + (2 * kHalf - kShift) * kUnit, kShift * kUnit);
  Add<kTransposed>(data + kShift * kUnit, data + kHalf * kUnit, (kHalf - kShift) * kUnit);
}

template <size_t kHalf, size_t kShift, size_t kUnit, bool kTransposed, typename T>
inline void Undivide(T* data) {
  Add<kTransposed>(data + kShift * kUnit, data + kHalf * kUnit, (kHalf - kShift) * kUnit);
  Add<kTransposed>(data + kHalf * kUnit, data + (2 * kHalf - kShift) * kUnit, kShift * kUnit);
}

// Digits to the base s_inner, by halves: (s_inner)^(2^t) = x^(2^(inner + t)) + x^(2^t).
template <size_t kLevelCount, size_t kInner, size_t kUnit, size_t kT, bool kForward, bool kTransposed, typename T>
inline void Digits(T* data) {
  constexpr size_t kHalf = size_t{1} << (kInner + kT);
  if constexpr (!kForward && kT > 0) Digits<kLevelCount, kInner, kUnit, kT - 1, kForward, kTransposed>(data);
  for (size_t at = 0; at < size_t{1} << kLevelCount; at += 2 * kHalf) {
    if constexpr (kForward) Divide<kHalf, size_t{1} << kT, kUnit, kTransposed>(data + at * kUnit);
    else Undivide<kHalf, size_t{1} << kT, kUnit, kTransposed>(data + at * kUnit);
  }
  if constexpr (kForward && kT > 0) Digits<kLevelCount, kInner, kUnit, kT - 1, kForward, kTransposed>(data);
}

// Powers of x in units of kUnit coefficients, each of which goes the same way.
template <size_t kLevelCount, size_t kUnit, bool kForward, bool kTransposed, typename T>
inline void Change(T* data) {
  if constexpr (kLevelCount > 1) {
    constexpr size_t kInner = Split(kLevelCount);
    const auto inner = [data] {
      for (size_t at = 0; at < size_t{1} << kLevelCount; at += size_t{1} << kInner) Change<kInner, kUnit, kForward, kTransposed>(data + at * kUnit);
    };
    if constexpr (!kForward) inner();
    if constexpr (!kForward) Change<kLevelCount - kInner, (kUnit << kInner), kForward, kTransposed>(data);
    Digits<kLevelCount, kInner, kUnit, kLevelCount - kInner - 1, kForward, kTransposed>(data);
    if constexpr (kForward) Change<kLevelCount - kInner, (kUnit << kInner), kForward, kTransposed>(data);
    if constexpr (kForward) inner();
  }
}

template <size_t kLevels, bool kForward, bool kTransposed, typename T>
void ChangeOf(T* data, size_t levels) {
  if (levels == kLevels) Change<kLevels, 1, kForward, kTransposed>(data);
  else if constexpr (kLevels < kLevelsMax) ChangeOf<kLevels + 1, kForward, kTransposed>(data, levels);
}

}  // namespace

const Factors& TheFactors() {
  static const Factors factors = MakeFactors();
  return factors;
}

void ToBasis(uint64_t* data, size_t levels) { ChangeOf<kLevelsMin, true, false>(data, levels); }

void FromBasisTransposed(uint64_t* data, size_t levels) { ChangeOf<kLevelsMin, true, true>(data, levels); }

void ToBasisTransposed(Element* data, size_t levels) { ChangeOf<kLevelsMin, false, true>(data, levels); }

}  // namespace qkme::post::amplify
