// The points of the transform and the basis in which it takes polynomials.
//
// Cantor's basis of GF(2^16): beta_0 = 1, beta_(i+1)^2 + beta_(i+1) = beta_i. Point k is the sum of the beta_i
// over the bits i of k. s_0(x) = x, s_(i+1)(x) = s_i(x)^2 + s_i(x) vanishes on the span of the first i + 1, and s_i(beta_j) =
// beta_(j-i). The basis polynomials are X_k = product of the s_i over the bits i of k. (Cantor, J. Comb. Theory A 50,
// 285 (1989); Gao and Mateer, IEEE Trans. Inf. Theory 56, 6265 (2010); Lin, Chung and Han, FOCS 2014; for long
// products over GF(2): Chen, Cheng, Kuo, Li and Yang, arXiv 1708.09746.)
#pragma once

#include "post/amplify_kernel.h"

namespace qkme::post::amplify {

/// A constant factor w, with w x^64, so that a product needs one step of reduction only.
struct Factor {
  Element w;
  Element w64;
};

/// Factors of the butterflies: s_i at the start of block t of level i is phi(t) = the sum of beta_(j+1) over the bits j of
/// t, whatever i. phi(t) = low[t % 256] ^ high[t / 256]; phi(2 t) likewise from low2 and high2.
struct Factors {
  Factor low[256], high[64];
  Factor low2[256], high2[64];
  Factor one;  ///< phi(1) = beta_1
};

/// Made at the first call.
const Factors& TheFactors();

/// From powers of x to the basis X_k, in place, for Points(levels) coefficients in GF(2), 64 polynomials at once. XORs only, as the other two.
void ToBasis(uint64_t* data, size_t levels);
/// The transposed of the way back.
void FromBasisTransposed(uint64_t* data, size_t levels);
/// The transposed of ToBasis, for elements.
void ToBasisTransposed(Element* data, size_t levels);

}  // namespace qkme::post::amplify
