// Rows of bits, one per lane of a batch, each with a second level that makes wide questions cheap: one bit per word of
// the first level. 64 bits are asked at once, so a question about any stretch of 10^5 bits costs at most some 30 words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qkme::post {

/// Bits of `word` from `from` up, and below `to` (0 to 63).
inline uint64_t From(uint32_t from) { return ~0ull << (from & 63); }
inline uint64_t Below(uint32_t to) { return (1ull << (to & 63)) - 1; }

/// Bits that flip, and the parity of any stretch of them.
class ParityRows {
 public:
  ParityRows() = default;
  ParityRows(uint32_t lanes, uint32_t bits) : words_((bits >> 6) + 1), sums_((words_ >> 6) + 1), low_(size_t{lanes} * words_), high_(size_t{lanes} * sums_) {}

  void Flip(uint32_t lane, uint32_t at) {
    const uint32_t word = at >> 6;
    low_[size_t{lane} * words_ + word] ^= 1ull << (at & 63);
    high_[size_t{lane} * sums_ + (word >> 6)] ^= 1ull << (word & 63);
  }

  /// Parity of [from, to).
  bool Parity(uint32_t lane, uint32_t from, uint32_t to) const {
    const uint64_t* const low = &low_[size_t{lane} * words_];
    const uint32_t first = from >> 6, last = to >> 6;
    if (first == last) return std::popcount(low[first] & From(from) & Below(to)) & 1;
    return (std::popcount(low[first] & From(from)) + std::popcount(low[last] & Below(to)) + Words(lane, first + 1, last)) & 1;
  }

 private:
  /// Parity of whole words [from, to), by the second level.
  int Words(uint32_t lane, uint32_t from, uint32_t to) const {
    if (from >= to) return 0;
    const uint64_t* const high = &high_[size_t{lane} * sums_];
    const uint32_t first = from >> 6, last = to >> 6;
    if (first == last) return std::popcount(high[first] & From(from) & Below(to));
    uint64_t sum = (high[first] & From(from)) ^ (high[last] & Below(to));
    for (uint32_t i = first + 1; i < last; ++i) sum ^= high[i];
    return std::popcount(sum);
  }

  uint32_t words_ = 0, sums_ = 0;
  std::vector<uint64_t> low_, high_;
};

/// Marks, and the nearest one before or after a place.
class MarkRows {
 public:
  MarkRows() = default;
  MarkRows(uint32_t lanes, uint32_t bits) : words_((bits >> 6) + 1), sums_((words_ >> 6) + 1), low_(size_t{lanes} * words_), high_(size_t{lanes} * sums_) {}

  void Set(uint32_t lane, uint32_t at) {
    const uint32_t word = at >> 6;
    low_[size_t{lane} * words_ + word] |= 1ull << (at & 63);
    high_[size_t{lane} * sums_ + (word >> 6)] |= 1ull << (word & 63);
  }

  /// The last mark at or before `at`. Place 0 must be marked.
  uint32_t AtOrBefore(uint32_t lane, uint32_t at) const {
    const uint64_t* const low = &low_[size_t{lane} * words_];
    uint32_t word = at >> 6;
    if (const uint64_t here = low[word] & (~0ull >> (63 - (at & 63)))) return Top(word, here);
    const uint64_t* const high = &high_[size_t{lane} * sums_];
    uint32_t sum = word >> 6;
    uint64_t above = high[sum] & Below(word);
    while (above == 0) above = high[--sum];
    word = Top(sum, above);
    return Top(word, low[word]);
  }

  /// The first mark after `at`, or `end` if there is none.
  uint32_t After(uint32_t lane, uint32_t at, uint32_t end) const {
    const uint64_t* const low = &low_[size_t{lane} * words_];
    uint32_t word = (at + 1) >> 6;
    if (const uint64_t here = low[word] & From(at + 1)) return word * 64 + static_cast<uint32_t>(std::countr_zero(here));
    const uint64_t* const high = &high_[size_t{lane} * sums_];
    ++word;
    uint32_t sum = word >> 6;
    if (sum >= sums_) return end;
    uint64_t beyond = high[sum] & From(word);
    while (beyond == 0) {
      if (++sum >= sums_) return end;
      beyond = high[sum];
    }
    word = sum * 64 + static_cast<uint32_t>(std::countr_zero(beyond));
    return word * 64 + static_cast<uint32_t>(std::countr_zero(low[word]));
  }

 private:
  static uint32_t Top(uint32_t word, uint64_t bits) { return word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(bits)); }

  uint32_t words_ = 0, sums_ = 0;
  std::vector<uint64_t> low_, high_;
};

/// Plain bits.
class BitRows {
 public:
  BitRows() = default;
  BitRows(uint32_t lanes, uint32_t bits) : words_((bits >> 6) + 1), low_(size_t{lanes} * words_) {}

  bool Get(uint32_t lane, uint32_t at) const { return low_[size_t{lane} * words_ + (at >> 6)] >> (at & 63) & 1; }
  /// Flips a bit; returns its new value.
  bool Flip(uint32_t lane, uint32_t at) { return (low_[size_t{lane} * words_ + (at >> 6)] ^= 1ull << (at & 63)) >> (at & 63) & 1; }
  uint64_t& Word(uint32_t lane, uint32_t word) { return low_[size_t{lane} * words_ + word]; }
  std::vector<uint64_t>& words () { return low_; }

 private:
  uint32_t words_ = 0;
  std::vector<uint64_t> low_;
};

/// Row i becomes column i of a 64 x 64 matrix of bits (Warren, Hacker's Delight, 7-3).
inline void Transpose64(uint64_t* rows) {
  uint64_t mask = 0x00000000ffffffffull;
  for (uint32_t j = 32; j != 0; j >>= 1, mask ^= mask << j) {
    for (uint32_t k = 0; k < 64; k = ((k | j) + 1) & ~j) {
      const uint64_t t = ((rows[k] >> j) ^ rows[k | j]) & mask;
      rows[k] ^= t << j;
      rows[k | j] ^= t;
    }
  }
}

}  // namespace qkme::post
