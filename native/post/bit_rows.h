// What a party knows of one order of the bits (one pass), for up to 64 frames: own parities, places found to be wrong,
// pieces whose parity is known, and which of them are odd. Four bits for each place, and those of 64 neighbours lie in
// half a cache line, because a question needs several of them. A second level, one bit per 64 places, makes wide
// questions cheap: any stretch of 10^5 bits costs at most some 30 words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "post/pages.h"

namespace qkme::post {

/// Bits of a word from `from` up, and below `to` (taken modulo 64).
inline uint64_t BitsFrom(uint32_t from) { return ~0ull << (from & 63); }
inline uint64_t BitsBelow(uint32_t to) { return (1ull << (to & 63)) - 1; }

/// One frame's part. A view: its memory is that of a BitRows.
class BitRow {
 public:
  BitRow(uint64_t* low, uint64_t* high, uint32_t bits) : low_(low), high_(high), bits_(bits), words_((bits >> 6) + 1), sums_((words_ >> 6) + 1) {}

  /// Words that a row of `bits` places takes, of both levels.
  static size_t LowWords(uint32_t bits) { return ((size_t{bits} >> 6) + 1) * kKinds; }
  static size_t HighWords(uint32_t bits) { return ((((size_t{bits} >> 6) + 1) >> 6) + 1) * 2; }

  /// Fetches what is told of a place into the cache: it will be asked for soon.
  void Prefetch(uint32_t at) const {
    __builtin_prefetch(&low_[size_t{at >> 6} * kKinds], 1);
    __builtin_prefetch(&high_[size_t{at >> 12} * 2], 1);
  }

  /// Bit `at & 63` of it: parity of the own first `at` bits. Secret.
  void SetPrefixWord(uint32_t word, uint64_t parities) { low_[size_t{word} * kKinds + kPrefix] = parities; }

  /// Parity of the own bits [from, to).
  bool Own(uint32_t from, uint32_t to) const {
    return ((Low(from >> 6, kPrefix) >> (from & 63)) ^ (Low(to >> 6, kPrefix) >> (to & 63))) & 1;
  }

  /// Own bits 64 word .. 64 word + 63; behind the last one they are 0. Secret.
  uint64_t OwnWord(uint32_t word) const {
    const uint64_t here = Low(word, kPrefix);
    const uint64_t next = word + 1 < words_ ? Low(word + 1, kPrefix) << 63 : 0;
    const uint64_t bits = here ^ (here >> 1 | next);
    return word + 1 < words_ ? bits : bits & BitsBelow(bits_);
  }

  uint64_t FoundWord(uint32_t word) const { return Low(word, kFound); }

  void FlipFound(uint32_t at) {
    low_[size_t{at >> 6} * kKinds + kFound] ^= 1ull << (at & 63);
    high_[size_t{at >> 12} * 2] ^= 1ull << (at >> 6 & 63);
  }

  /// Parity of the places found to be wrong in [from, to).
  bool Found(uint32_t from, uint32_t to) const {
    const uint32_t first = from >> 6, last = to >> 6;
    const uint64_t begin = Low(first, kFound) & BitsFrom(from);
    if (first == last) return __builtin_parityll(begin & BitsBelow(to));
    uint64_t sum = begin ^ (Low(last, kFound) & BitsBelow(to));
    if (last - first <= 4) {
      for (uint32_t i = first + 1; i < last; ++i) sum ^= Low(i, kFound);
    } else {
      sum ^= WholeWords(first + 1, last);
    }
    return __builtin_parityll(sum);
  }

  /// At the start of a piece: an odd number of errors is left in it.
  bool Odd(uint32_t at) const { return Low(at >> 6, kOdd) >> (at & 63) & 1; }
  /// Returns the new value.
  bool FlipOdd(uint32_t at) {
    return (low_[size_t{at >> 6} * kKinds + kOdd] ^= 1ull << (at & 63)) >> (at & 63) & 1;
  }

  void SetStart(uint32_t at) {
    low_[size_t{at >> 6} * kKinds + kStart] |= 1ull << (at & 63);
    high_[size_t{at >> 12} * 2 + 1] |= 1ull << (at >> 6 & 63);
  }

  /// The last start at or before `at`. Place 0 must be one.
  uint32_t StartBefore(uint32_t at) const {
    uint32_t word = at >> 6;
    if (const uint64_t here = Low(word, kStart) & (~0ull >> (63 - (at & 63)))) return Top(word, here);
    uint32_t sum = word >> 6;
    uint64_t marked = Marks(sum) & BitsBelow(word);
    while (marked == 0) marked = Marks(--sum);
    word = Top(sum, marked);
    return Top(word, Low(word, kStart));
  }

  /// The first start after `at`, or `end` if there is none.
  uint32_t StartAfter(uint32_t at, uint32_t end) const {
    uint32_t word = (at + 1) >> 6;
    if (word >= words_) return end;
    if (const uint64_t here = Low(word, kStart) & BitsFrom(at + 1)) return Bottom(word, here);
    uint32_t sum = ++word >> 6;
    if (sum >= sums_) return end;
    uint64_t marked = Marks(sum) & BitsFrom(word);
    while (marked == 0) {
      if (++sum >= sums_) return end;
      marked = Marks(sum);
    }
    word = Bottom(sum, marked);
    return Bottom(word, Low(word, kStart));
  }

 private:
  enum Kind : uint32_t { kPrefix, kFound, kStart, kOdd, kKinds };

  uint64_t Low(uint32_t word, Kind kind) const { return low_[size_t{word} * kKinds + kind]; }
  uint64_t Marks(uint32_t sum) const { return high_[size_t{sum} * 2 + 1]; }
  static uint32_t Top(uint32_t word, uint64_t bits) { return word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(bits)); }
  static uint32_t Bottom(uint32_t word, uint64_t bits) { return word * 64 + static_cast<uint32_t>(std::countr_zero(bits)); }

  /// A word with the parity of the whole words [from, to).
  uint64_t WholeWords(uint32_t from, uint32_t to) const {
    const uint32_t first = from >> 6, last = to >> 6;
    if (first == last) return __builtin_parityll(high_[first * 2] & BitsFrom(from) & BitsBelow(to));
    uint64_t sum = (high_[first * 2] & BitsFrom(from)) ^ (high_[last * 2] & BitsBelow(to));
    for (uint32_t i = first + 1; i < last; ++i) sum ^= high_[i * 2];
    return __builtin_parityll(sum);
  }

  uint64_t *low_, *high_;
  uint32_t bits_, words_, sums_;
};

/// The rows of some frames, all places 0 at first. Wiped at its end.
class BitRows {
 public:
  BitRows(uint32_t lanes, uint32_t bits) : bits_(bits), low_(lanes * BitRow::LowWords(bits)), high_(lanes * BitRow::HighWords(bits)) {}

  BitRow Row(uint32_t lane) { return {&low_[lane * BitRow::LowWords(bits_)], &high_[lane * BitRow::HighWords(bits_)], bits_}; }

 private:
  uint32_t bits_;
  ZeroPages low_, high_;
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
