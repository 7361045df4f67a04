#include "post/sift.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "post/error.h"

namespace qkme::post {
namespace {

std::atomic<bool> fast_forbidden{false};

/// Up to 64 bits from bit `from` (a multiple of 64) on; what lies beyond `count` is 0.
uint64_t LoadWord(std::span<const uint8_t> bits, size_t from, size_t count) {
  uint64_t word = 0;
  const size_t first = from / 8;
  std::memcpy(&word, bits.data() + first, std::min<size_t>(8, bits.size() - first));
  return count - from >= 64 ? word : word & ((1ull << (count - from)) - 1);
}

uint64_t SelectPortable(uint64_t value, uint64_t mask) {
  uint64_t out = 0;
  for (unsigned at = 0; mask != 0; mask &= mask - 1, ++at) out |= (value >> std::countr_zero(mask) & 1) << at;
  return out;
}

/// Collects words of any number of bits and writes them whole.
class BitSink {
 public:
  BitSink(std::span<uint8_t> out, size_t at) : out_(out), byte_(at / 8), fill_(at % 8) {
    if (fill_ > 0) pending_ = out_[byte_];
  }
  void Put(uint64_t bits, unsigned count) {
    pending_ |= bits << fill_;
    if (fill_ + count < 64) {
      fill_ += count;
      return;
    }
    Require(byte_ + 8 <= out_.size(), "selected bits have room");
    std::memcpy(out_.data() + byte_, &pending_, 8);
    byte_ += 8;
    pending_ = fill_ == 0 ? 0 : bits >> (64 - fill_);
    fill_ = fill_ + count - 64;
  }
  void End() {
    const size_t bytes = PackedBytes(fill_);
    Require(byte_ + bytes <= out_.size(), "selected bits have room");
    std::memcpy(out_.data() + byte_, &pending_, bytes);
    pending_ = 0;
  }

 private:
  std::span<uint8_t> out_;
  size_t byte_;
  unsigned fill_;
  uint64_t pending_ = 0;
};

using Select = uint64_t (*)(uint64_t, uint64_t);

template <Select select>
inline __attribute__((always_inline)) size_t SelectAll(std::span<const uint8_t> plane, std::span<const uint8_t> mask, size_t count, BitSink& sink) {
  size_t kept = 0;
  for (size_t from = 0; from < count; from += 64) {
    const uint64_t wanted = LoadWord(mask, from, count);
    const auto n = static_cast<unsigned>(std::popcount(wanted));
    sink.Put(select(LoadWord(plane, from, count), wanted), n);
    kept += n;
  }
  sink.End();
  return kept;
}

#if defined(__x86_64__)
__attribute__((target("bmi2"))) inline uint64_t SelectBmi2(uint64_t value, uint64_t mask) { return _pext_u64(value, mask); }

__attribute__((target("bmi2,popcnt"))) size_t SelectAllBmi2(std::span<const uint8_t> plane, std::span<const uint8_t> mask, size_t count, BitSink& sink) {
  size_t kept = 0;
  for (size_t from = 0; from < count; from += 64) {
    const uint64_t wanted = LoadWord(mask, from, count);
    const auto n = static_cast<unsigned>(_mm_popcnt_u64(wanted));
    sink.Put(SelectBmi2(LoadWord(plane, from, count), wanted), n);
    kept += n;
  }
  sink.End();
  return kept;
}
#endif

}  // namespace

bool SelectIsFast() {
#if defined(__x86_64__)
  static const bool found = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  }();
  return found && !fast_forbidden;
#else
  return false;
#endif
}

void ForbidFastSelect(bool forbid) { fast_forbidden = forbid; }

void TakePlane(std::span<const uint8_t> records, unsigned shift, std::span<uint8_t> out) {
  Require(shift < 8 && out.size() == PackedBytes(records.size()), "a plane has one bit per record");
  size_t i = 0;
  for (; i + 8 <= records.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, records.data() + i, 8);
    // Eight bits, one per byte, to the top byte: bit k of it is bit `shift` of byte k.
    out[i / 8] = static_cast<uint8_t>((word >> shift & 0x0101010101010101ull) * 0x0102040810204080ull >> 56);
  }
  if (i == records.size()) return;
  uint8_t last = 0;
  for (unsigned k = 0; i + k < records.size(); ++k) last |= static_cast<uint8_t>((records[i + k] >> shift & 1) << k);
  out[i / 8] = last;
}

size_t SelectBits(std::span<const uint8_t> plane, std::span<const uint8_t> mask, size_t count, std::span<uint8_t> out, size_t at) {
  Require(plane.size() == PackedBytes(count) && mask.size() == PackedBytes(count), "plane and mask have one bit per detection");
  Require(at <= out.size() * 8, "bits are appended within their buffer");
  if (count == 0) return 0;
  if (at == out.size() * 8) Require(CountBoth(mask, mask, count) == 0, "selected bits have room");
  if (at == out.size() * 8) return 0;
  BitSink sink(out, at);
#if defined(__x86_64__)
  if (SelectIsFast()) return SelectAllBmi2(plane, mask, count, sink);
#endif
  return SelectAll<SelectPortable>(plane, mask, count, sink);
}

size_t CountBoth(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count) {
  Require(a.size() == PackedBytes(count) && b.size() == PackedBytes(count), "both planes have one bit per detection");
  size_t total = 0;
  for (size_t from = 0; from < count; from += 64) total += static_cast<size_t>(std::popcount(LoadWord(a, from, count) & LoadWord(b, from, count)));
  return total;
}

}  // namespace qkme::post
