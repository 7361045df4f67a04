// The codes: a row for each share of check bits, about a tenth apart. Between two of them bits are punctured.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "post/ldpc_code.h"

namespace qkme::post {

/// A code by what it is good for.
struct LdpcMother {
  uint32_t rows;
  /// Error rate, in millionths, at which unpunctured full frames fail once in some thousand, measured.
  uint32_t error_ppm;
};

/// Ascending.
std::span<const LdpcMother> LdpcMothers();

/// What a code of so many rows is built from: its neighbours in the table of designs, mixed.
LdpcDesign LdpcDesignOf(uint32_t rows);

/// The code, built at the first call (some tenths of a second at most) and kept.
std::shared_ptr<const LdpcCode> LdpcCodeOf(uint32_t rows);

}  // namespace qkme::post
