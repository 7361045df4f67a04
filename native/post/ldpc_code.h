// Quasi-cyclic LDPC codes for reconciliation, built from a table of degrees and a seed.
//
// H is a matrix of kLdpcColumns x rows() blocks of kLdpcCirculant x kLdpcCirculant bits, each zero or a cyclic
// shift of the identity: the block of a row and an edge (column, shift) has its ones at (i, i + shift mod
// kLdpcCirculant). A frame has kLdpcFrameBits bits, a syndrome rows() * kLdpcCirculant. Bits are packed, the lowest
// first in each 64-bit word.
//
// The construction is deterministic on every machine: columns of degree 2 form one chain, so that they hold no
// cycle; the others are placed by progressive edge growth (Hu, Eleftheriou and Arnold, IEEE Trans. Inf. Theory
// 51, 386 (2005)) on rows of equal weight; shifts are drawn so that the graph has no cycle of four or six edges,
// and none of eight or ten among columns of low degree where that can be had (the aim of ACE: Tian et al., IEEE
// Trans. Commun. 52, 1242 (2004)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace qkme::post {

inline constexpr uint32_t kLdpcColumns = 256;
inline constexpr uint32_t kLdpcCirculant = 4096;
inline constexpr uint32_t kLdpcFrameBits = kLdpcColumns * kLdpcCirculant;
/// Edges of a row at most.
inline constexpr uint32_t kLdpcRowWeightMax = 128;

/// Columns of one degree.
struct LdpcDegree {
  uint32_t degree;
  uint32_t columns;
};

/// What a code is built from, and how its decoder counts.
struct LdpcDesign {
  uint32_t rows;
  std::vector<LdpcDegree> degrees;  ///< ascending; the counts add up to kLdpcColumns
  int8_t channel;                   ///< magnitude of a received bit, in units of the decoder
  double error_rate;                ///< at which the decoder counts true: a unit is ln((1 - e) / e) / channel
};

struct LdpcEdge {
  uint16_t column;
  uint16_t shift;
};

class LdpcCode {
 public:
  explicit LdpcCode(const LdpcDesign& design, uint64_t seed = 1);

  uint32_t rows() const { return design_.rows; }
  uint32_t syndrome_bits() const { return design_.rows * kLdpcCirculant; }
  const LdpcDesign& design() const { return design_; }
  std::span<const LdpcEdge> Row(uint32_t row) const { return {edges_.data() + starts_[row], starts_[row + 1] - starts_[row]}; }
  size_t edges() const { return edges_.size(); }
  /// Edges of all rows before `row`.
  size_t EdgesBefore(uint32_t row) const { return starts_[row]; }
  /// Columns no two of which share a row: the first ones to give up bits to puncturing.
  std::span<const uint16_t> pliable() const { return pliable_; }

  /// Writes H x: `frame` kLdpcFrameBits bits, `syndrome` syndrome_bits().
  void Syndrome(const uint64_t* frame, uint64_t* syndrome) const;

 private:
  LdpcDesign design_;
  std::vector<LdpcEdge> edges_;
  std::vector<size_t> starts_;
  std::vector<uint16_t> pliable_;
};

}  // namespace qkme::post
