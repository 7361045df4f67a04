// The additive transform on vectors V of one kernel. QKME_TARGET is the instruction set of the including file.
//
// V: kLanes; Register; Load, Store, Zero, Xor; Factor (of a register); Same(f): one factor for all lanes; Each(f, g): factor f[i]
// xor g in lane i; Plus; Times(register, factor); Transpose(r): of four registers, if there are four lanes; Sum with Add and Reduce.
#pragma once

#include "post/amplify_basis.h"

namespace qkme::post::amplify {

inline Factor Phi(const Factors& factors, size_t t) {
  const Factor& a = factors.low[t % 256];
  const Factor& b = factors.high[t / 256];
  return {{a.w.low ^ b.w.low, a.w.high ^ b.w.high}, {a.w64.low ^ b.w64.low, a.w64.high ^ b.w64.high}};
}

// One butterfly (u, v) -> (u + w v, u + (w + 1) v), and its inverse. With u and v in each other's place the first is the transposed of
// the second, and the second that of the first: kSwapped in all that follows.
template <typename V>
QKME_TARGET inline void Apart(typename V::Register* u, typename V::Register* v, const typename V::Factor& w) {
  *u = V::Xor(*u, V::Times(*v, w));
  *v = V::Xor(*v, *u);
}
template <typename V>
QKME_TARGET inline void Together(typename V::Register* u, typename V::Register* v, const typename V::Factor& w) {
  *v = V::Xor(*v, *u);
  *u = V::Xor(*u, V::Times(*v, w));
}

// All butterflies of a block of level `level`, number `t`: the factor is the same, and 0 in the first block.
template <typename V, bool kApart, bool kSwapped>
QKME_TARGET void OneBlock(Element* data, size_t level, size_t t, const Factors& factors) {
  const size_t half = size_t{1} << level;
  Element* const first = kSwapped ? data + half : data;
  Element* const second = kSwapped ? data : data + half;
  if (t == 0) {
    for (size_t i = 0; i < half; i += V::kLanes) V::Store(second + i, V::Xor(V::Load(second + i), V::Load(first + i)));
    return;
  }
  const auto w = V::Same(Phi(factors, t));
  for (size_t i = 0; i < half; i += V::kLanes) {
    auto u = V::Load(first + i);
    auto v = V::Load(second + i);
    if constexpr (kApart) Apart<V>(&u, &v, w);
    else Together<V>(&u, &v, w);
    V::Store(first + i, u);
    V::Store(second + i, v);
  }
}

// The last two levels of kLanes blocks of four elements, the first of which has number t at level 1. Values stay transposed.
template <typename V, bool kApart, bool kSwapped>
QKME_TARGET void LastLevels(Element* data, size_t t, const Factors& factors) {
  const auto w1 = V::Each(factors.low + t % 256, factors.high[t / 256]);
  const auto w0 = V::Each(factors.low2 + t % 256, factors.high2[t / 256]);
  const auto w0_odd = V::Plus(w0, V::Same(factors.one));
  constexpr size_t kOne = kSwapped ? 1 : 0;
  constexpr size_t kTwo = kSwapped ? 2 : 0;
  typename V::Register e[4];
  for (size_t i = 0; i < 4; ++i) e[i] = V::Load(data + i * V::kLanes);
  if constexpr (kApart) {
    V::Transpose(e);
    for (size_t i = 0; i < 2; ++i) Apart<V>(e + i + kTwo, e + i + 2 - kTwo, w1);
    Apart<V>(e + kOne, e + 1 - kOne, w0);
    Apart<V>(e + 2 + kOne, e + 3 - kOne, w0_odd);
  } else {
    Together<V>(e + kOne, e + 1 - kOne, w0);
    Together<V>(e + 2 + kOne, e + 3 - kOne, w0_odd);
    for (size_t i = 0; i < 2; ++i) Together<V>(e + i + kTwo, e + i + 2 - kTwo, w1);
    V::Transpose(e);
  }
  for (size_t i = 0; i < 4; ++i) V::Store(data + i * V::kLanes, e[i]);
}

// Blocks of so many levels fit the first-level cache: below, they are finished one by one.
inline constexpr size_t kCachedLevels = 11;
static_assert(kCachedLevels <= kLevelsMin);

// From the largest blocks to the smallest: coefficients to values, or swapped the inverse's transposed.
template <typename V, bool kSwapped>
QKME_TARGET void Down(Element* data, size_t levels) {
  const Factors& factors = TheFactors();
  for (size_t level = levels; level-- > kCachedLevels;) {
    for (size_t t = 0; t < Points(levels) >> (level + 1); ++t) OneBlock<V, true, kSwapped>(data + (t << (level + 1)), level, t, factors);
  }
  for (size_t at = 0; at < Points(levels); at += size_t{1} << kCachedLevels) {
    for (size_t level = kCachedLevels; level-- > 2;) {
      for (size_t k = 0; k < size_t{1} << (kCachedLevels - level - 1); ++k) {
        const size_t from = at + (k << (level + 1));
        OneBlock<V, true, kSwapped>(data + from, level, from >> (level + 1), factors);
      }
    }
    for (size_t i = at; i < at + (size_t{1} << kCachedLevels); i += 4 * V::kLanes) LastLevels<V, true, kSwapped>(data + i, i / 4, factors);
  }
}

// From the smallest blocks to the largest, swapped: the transposed of coefficients to values.
template <typename V>
QKME_TARGET void UpTransposed(Element* data, size_t levels) {
  const Factors& factors = TheFactors();
  for (size_t at = 0; at < Points(levels); at += size_t{1} << kCachedLevels) {
    for (size_t i = at; i < at + (size_t{1} << kCachedLevels); i += 4 * V::kLanes) LastLevels<V, false, true>(data + i, i / 4, factors);
    for (size_t level = 2; level < kCachedLevels; ++level) {
      for (size_t k = 0; k < size_t{1} << (kCachedLevels - level - 1); ++k) {
        const size_t from = at + (k << (level + 1));
        OneBlock<V, false, true>(data + from, level, from >> (level + 1), factors);
      }
    }
  }
  for (size_t level = kCachedLevels; level < levels; ++level) {
    for (size_t t = 0; t < Points(levels) >> (level + 1); ++t) OneBlock<V, false, true>(data + (t << (level + 1)), level, t, factors);
  }
}

template <typename V>
QKME_TARGET void Dot(Element* out, const Element* const* a, const Element* const* b, size_t count, size_t levels) {
  for (size_t i = 0; i < Points(levels); i += V::kLanes) {
    typename V::Sum sum;
    for (size_t k = 0; k < count; ++k) sum.Add(V::Load(a[k] + i), V::Load(b[k] + i));
    V::Store(out + i, sum.Reduce());
  }
}

}  // namespace qkme::post::amplify
