// How the bits of a key lie in a frame of a code, and how many of them are punctured.
//
// The columns of the code's pool give up bits: the first `punctured` ones of the pool are random bits of Alice's own, which
// mask as many bits of the syndrome; the others are zero at both sides (shortened). All other columns carry the key, each
// the same number of bits; what is left of them is zero too. Leaked: rows * kLdpcCirculant - punctured, and one for each
// bit revealed later (Martinez-Mateo, Elkouss and Martin, Quantum Inf. Comput. 12, 791 (2012); Elkouss, Martinez-Mateo
// and Martin, Quantum Inf. Comput. 11, 226 (2011)).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "post/ldpc_code.h"

namespace qkme::post {

class LdpcFrame {
 public:
  /// `key_bits`: 1 to Capacity(code->rows()).
  LdpcFrame(std::shared_ptr<const LdpcCode> code, uint32_t key_bits);

  /// Key bits of a frame of a code with so many rows at most.
  static uint32_t Capacity(uint32_t rows) { return (kLdpcColumns - PoolColumns(rows)) * kLdpcCirculant; }
  /// Bits of the pool.
  static uint32_t Pool(uint32_t rows) { return PoolColumns(rows) * kLdpcCirculant; }

  const LdpcCode& code() const { return *code_; }
  uint32_t key_bits() const { return key_bits_; }
  /// Place in the frame of bit `i` of the pool: neighbours in the pool are far apart in the frame.
  uint32_t PoolPlace(uint32_t i) const;
  /// Place in the frame of bit `i` of the key.
  uint32_t KeyPlace(uint32_t i) const { return key_columns_[i / per_column_] * kLdpcCirculant + i % per_column_; }
  /// Whether a place carries key, and which bit; UINT32_MAX if none.
  uint32_t KeyBit(uint32_t place) const;
  /// Copies key bits [first, first + key_bits()) of `key` into their places of `frame`, which is cleared.
  void Spread(std::span<const uint8_t> key, uint64_t first, uint64_t* frame) const;
  /// Flips the bits of `key` whose places are set in `errors`.
  void Flip(const uint64_t* errors, std::span<uint8_t> key, uint64_t first) const;
  /// Calls each(place) for every place that is zero at both sides, given so many punctured bits.
  template <typename Each>
  void EachShortened(uint32_t punctured, Each each) const {
    for (uint32_t i = punctured; i < Pool(code_->rows()); ++i) each(PoolPlace(i));
    for (uint32_t c = 0; c < key_columns_.size(); ++c) {
      const uint32_t from = c * per_column_;
      const uint32_t used = key_bits_ <= from ? 0 : key_bits_ - from < per_column_ ? key_bits_ - from : per_column_;
      for (uint32_t i = used; i < kLdpcCirculant; ++i) each(key_columns_[c] * kLdpcCirculant + i);
    }
  }

 private:
  // As many as a tenth of the syndrome, but no more than leave place for a million bits of key.
  static uint32_t PoolColumns(uint32_t rows) { return rows < 110 ? (rows + 9) / 10 : 11; }

  std::shared_ptr<const LdpcCode> code_;
  uint32_t key_bits_;
  uint32_t per_column_;
  std::vector<uint16_t> pool_columns_;
  std::vector<uint16_t> key_columns_;
  std::vector<uint16_t> column_number_;  ///< of a column among those of the key, UINT16_MAX if of the pool
};

}  // namespace qkme::post
