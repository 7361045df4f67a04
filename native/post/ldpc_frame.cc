#include "post/ldpc_frame.h"

#include <algorithm>
#include <cstring>

#include "post/error.h"

namespace qkme::post {
namespace {

// Odd, near the golden section of a circulant: places one after the other are spread evenly.
constexpr uint32_t kStride = 2531;

}  // namespace

LdpcFrame::LdpcFrame(std::shared_ptr<const LdpcCode> code, uint32_t key_bits) : code_(std::move(code)), key_bits_(key_bits) {
  Require(key_bits > 0 && key_bits <= Capacity(code_->rows()), "the key bits of a frame fit into it");
  const uint32_t wanted = PoolColumns(code_->rows());
  std::vector<bool> pooled(kLdpcColumns, false);
  for (const uint16_t column : code_->pliable().first(std::min<size_t>(wanted, code_->pliable().size()))) {
    pool_columns_.push_back(column);
    pooled[column] = true;
  }
  Require(pool_columns_.size() == wanted, "a code has as many pliable columns as its pool");
  column_number_.assign(kLdpcColumns, UINT16_MAX);
  for (uint16_t column = 0; column < kLdpcColumns; ++column) {
    if (pooled[column]) continue;
    column_number_[column] = static_cast<uint16_t>(key_columns_.size());
    key_columns_.push_back(column);
  }
  const auto columns = static_cast<uint32_t>(key_columns_.size());
  per_column_ = std::min((((key_bits + columns - 1) / columns) + 63) / 64 * 64, kLdpcCirculant);
}

uint32_t LdpcFrame::PoolPlace(uint32_t i) const {
  const auto columns = static_cast<uint32_t>(pool_columns_.size());
  return pool_columns_[i % columns] * kLdpcCirculant + i / columns * kStride % kLdpcCirculant;
}

uint32_t LdpcFrame::KeyBit(uint32_t place) const {
  const uint32_t number = column_number_[place / kLdpcCirculant];
  if (number == UINT16_MAX || place % kLdpcCirculant >= per_column_) return UINT32_MAX;
  const uint32_t bit = number * per_column_ + place % kLdpcCirculant;
  return bit < key_bits_ ? bit : UINT32_MAX;
}

void LdpcFrame::Spread(std::span<const uint8_t> key, uint64_t first, uint64_t* frame) const {
  Require(key.size() * 8 >= first + key_bits_, "the key has the bits of its frames");
  std::memset(frame, 0, kLdpcFrameBits / 8);
  for (uint32_t done = 0; done < key_bits_; done += 64) {
    const uint64_t at = first + done;
    uint64_t word = 0;
    const size_t bytes = std::min<size_t>(8, key.size() - at / 8);
    std::memcpy(&word, key.data() + at / 8, bytes);
    word >>= at % 8;
    if (at % 8 != 0 && at / 8 + 8 < key.size()) word |= static_cast<uint64_t>(key[at / 8 + 8]) << (64 - at % 8);
    if (key_bits_ - done < 64) word &= (uint64_t{1} << (key_bits_ - done)) - 1;
    frame[KeyPlace(done) / 64] = word;
  }
}

void LdpcFrame::Flip(const uint64_t* errors, std::span<uint8_t> key, uint64_t first) const {
  Require(key.size() * 8 >= first + key_bits_, "the key has the bits of its frames");
  for (uint32_t done = 0; done < key_bits_; done += 64) {
    uint64_t word = errors[KeyPlace(done) / 64];
    if (key_bits_ - done < 64) word &= (uint64_t{1} << (key_bits_ - done)) - 1;
    for (; word != 0; word &= word - 1) {
      const uint64_t bit = first + done + static_cast<uint64_t>(__builtin_ctzll(word));
      key[bit / 8] = static_cast<uint8_t>(key[bit / 8] ^ 1u << bit % 8);
    }
  }
}

}  // namespace qkme::post
