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

// (u, v) -> (u + w v, u + (w + 1) v) on a block of level `level`, number `t`.
template <typename V>
QKME_TARGET void ForwardBlock(Element* data, size_t level, size_t t, const Factors& factors) {
  const size_t half = size_t{1} << level;
  if (t == 0) {
    for (size_t i = 0; i < half; i += V::kLanes) V::Store(data + half + i, V::Xor(V::Load(data + half + i), V::Load(data + i)));
    return;
  }
  const auto w = V::Same(Phi(factors, t));
  for (size_t i = 0; i < half; i += V::kLanes) {
    const auto v = V::Load(data + half + i);
    const auto u = V::Xor(V::Load(data + i), V::Times(v, w));
    V::Store(data + i, u);
    V::Store(data + half + i, V::Xor(u, v));
  }
}

template <typename V>
QKME_TARGET void InverseBlock(Element* data, size_t level, size_t t, const Factors& factors) {
  const size_t half = size_t{1} << level;
  if (t == 0) {
    for (size_t i = 0; i < half; i += V::kLanes) V::Store(data + half + i, V::Xor(V::Load(data + half + i), V::Load(data + i)));
    return;
  }
  const auto w = V::Same(Phi(factors, t));
  for (size_t i = 0; i < half; i += V::kLanes) {
    const auto u = V::Load(data + i);
    const auto v = V::Xor(V::Load(data + half + i), u);
    V::Store(data + half + i, v);
    V::Store(data + i, V::Xor(u, V::Times(v, w)));
  }
}

// The last two levels of kLanes blocks of four elements, the first of which has number t at level 1. Values stay transposed.
template <typename V, bool kForward>
QKME_TARGET void LastLevels(Element* data, size_t t, const Factors& factors) {
  const auto w1 = V::Each(factors.low + t % 256, factors.high[t / 256]);
  const auto w0 = V::Each(factors.low2 + t % 256, factors.high2[t / 256]);
  const auto w0_odd = V::Plus(w0, V::Same(factors.one));
  typename V::Register e[4];
  for (size_t i = 0; i < 4; ++i) e[i] = V::Load(data + i * V::kLanes);
  if constexpr (kForward) {
    V::Transpose(e);
    for (size_t i = 0; i < 2; ++i) {
      e[i] = V::Xor(e[i], V::Times(e[i + 2], w1));
      e[i + 2] = V::Xor(e[i + 2], e[i]);
    }
    e[0] = V::Xor(e[0], V::Times(e[1], w0));
    e[1] = V::Xor(e[1], e[0]);
    e[2] = V::Xor(e[2], V::Times(e[3], w0_odd));
    e[3] = V::Xor(e[3], e[2]);
  } else {
    e[1] = V::Xor(e[1], e[0]);
    e[0] = V::Xor(e[0], V::Times(e[1], w0));
    e[3] = V::Xor(e[3], e[2]);
    e[2] = V::Xor(e[2], V::Times(e[3], w0_odd));
    for (size_t i = 0; i < 2; ++i) {
      e[i + 2] = V::Xor(e[i + 2], e[i]);
      e[i] = V::Xor(e[i], V::Times(e[i + 2], w1));
    }
    V::Transpose(e);
  }
  for (size_t i = 0; i < 4; ++i) V::Store(data + i * V::kLanes, e[i]);
}

// Blocks of so many levels fit the first-level cache: below, they are finished one by one.
inline constexpr size_t kCachedLevels = 11;

template <typename V>
QKME_TARGET void Forward(Element* data) {
  const Factors& factors = TheFactors();
  for (size_t level = kLevels; level-- > kCachedLevels;) {
    for (size_t t = 0; t < kPoints >> (level + 1); ++t) ForwardBlock<V>(data + (t << (level + 1)), level, t, factors);
  }
  for (size_t at = 0; at < kPoints; at += size_t{1} << kCachedLevels) {
    for (size_t level = kCachedLevels; level-- > 2;) {
      for (size_t k = 0; k < size_t{1} << (kCachedLevels - level - 1); ++k) {
        const size_t from = at + (k << (level + 1));
        ForwardBlock<V>(data + from, level, from >> (level + 1), factors);
      }
    }
    for (size_t i = at; i < at + (size_t{1} << kCachedLevels); i += 4 * V::kLanes) LastLevels<V, true>(data + i, i / 4, factors);
  }
}

template <typename V>
QKME_TARGET void Inverse(Element* data) {
  const Factors& factors = TheFactors();
  for (size_t at = 0; at < kPoints; at += size_t{1} << kCachedLevels) {
    for (size_t i = at; i < at + (size_t{1} << kCachedLevels); i += 4 * V::kLanes) LastLevels<V, false>(data + i, i / 4, factors);
    for (size_t level = 2; level < kCachedLevels; ++level) {
      for (size_t k = 0; k < size_t{1} << (kCachedLevels - level - 1); ++k) {
        const size_t from = at + (k << (level + 1));
        InverseBlock<V>(data + from, level, from >> (level + 1), factors);
      }
    }
  }
  for (size_t level = kCachedLevels; level < kLevels; ++level) {
    for (size_t t = 0; t < kPoints >> (level + 1); ++t) InverseBlock<V>(data + (t << (level + 1)), level, t, factors);
  }
}

template <typename V>
QKME_TARGET void Dot(Element* out, const Element* const* a, const Element* const* b, size_t count) {
  for (size_t i = 0; i < kPoints; i += V::kLanes) {
    typename V::Sum sum;
    for (size_t k = 0; k < count; ++k) sum.Add(V::Load(a[k] + i), V::Load(b[k] + i));
    V::Store(out + i, sum.Reduce());
  }
}

}  // namespace qkme::post::amplify
