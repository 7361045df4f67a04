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

uint64_t WholeWord(const uint8_t* bits, size_t i) {
  uint64_t word = 0;
  std::memcpy(&word, bits + i * 8, sizeof word);
  return word;
}

/// The words of two planes, the last one cut to what is left.
template <typename Each>
inline void EachWord(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count, Each each) {
  for (size_t i = 0; i < count / 64; ++i) each(WholeWord(a.data(), i), WholeWord(b.data(), i));
  if (count % 64 != 0) each(LoadWord(a, count - count % 64, count), LoadWord(b, count - count % 64, count));
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
size_t SelectAll(std::span<const uint8_t> plane, std::span<const uint8_t> mask, size_t count, BitSink& sink) {
  size_t kept = 0;
  EachWord(plane, mask, count, [&](uint64_t value, uint64_t wanted) {
    const auto n = static_cast<unsigned>(std::popcount(wanted));
    sink.Put(select(value, wanted), n);
    kept += n;
  });
  sink.End();
  return kept;
}

size_t CountAll(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count) {
  size_t total = 0;
  EachWord(a, b, count, [&](uint64_t x, uint64_t y) { total += static_cast<size_t>(std::popcount(x & y)); });
  return total;
}

#if defined(__x86_64__)
// Written out: what the compiler calls from here must be allowed the same instructions.
__attribute__((target("bmi2,popcnt"))) size_t SelectAllFast(const uint8_t* plane, const uint8_t* mask, size_t words, BitSink& sink) {
  size_t kept = 0;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t wanted = WholeWord(mask, i);
    const auto n = static_cast<unsigned>(_mm_popcnt_u64(wanted));
    sink.Put(_pext_u64(WholeWord(plane, i), wanted), n);
    kept += n;
  }
  return kept;
}

__attribute__((target("popcnt"))) size_t CountWordsFast(const uint8_t* a, const uint8_t* b, size_t words) {
  uint64_t total = 0;
  for (size_t i = 0; i < words; ++i) total += static_cast<uint64_t>(_mm_popcnt_u64(WholeWord(a, i) & WholeWord(b, i)));
  return total;
}

/// Whole blocks of 32 records. Bit `shift` of each byte is moved to its top, where one instruction gathers 32 of them.
__attribute__((target("avx2"))) size_t TakePlaneFast(const uint8_t* records, size_t count, unsigned shift, uint8_t* out) {
  const __m128i up = _mm_cvtsi32_si128(static_cast<int>(7 - shift));
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(records + i));
    const int bits = _mm256_movemask_epi8(_mm256_sll_epi16(bytes, up));
    std::memcpy(out + i / 8, &bits, sizeof bits);
  }
  return i;
}
#endif

template <typename Rule>
inline void CombineWords(std::span<const uint8_t> a, std::span<const uint8_t> b, std::span<uint8_t> out, Rule rule) {
  size_t i = 0;
  for (; i + 8 <= out.size(); i += 8) {
    const uint64_t word = rule(WholeWord(a.data(), i / 8), WholeWord(b.data(), i / 8));
    std::memcpy(out.data() + i, &word, sizeof word);
  }
  for (; i < out.size(); ++i) out[i] = static_cast<uint8_t>(rule(a[i], b[i]));
}

}  // namespace

bool SelectIsFast() {
#if defined(__x86_64__)
  static const bool found = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("avx2");
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
#if defined(__x86_64__)
  if (SelectIsFast()) i = TakePlaneFast(records.data(), records.size(), shift, out.data());
#endif
  for (; i + 8 <= records.size(); i += 8) {
    const uint64_t word = WholeWord(records.data(), i / 8);
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
  if (SelectIsFast()) {
    const size_t words = count / 64;
    size_t kept = SelectAllFast(plane.data(), mask.data(), words, sink);
    if (count % 64 != 0) {
      const uint64_t wanted = LoadWord(mask, words * 64, count);
      const auto n = static_cast<unsigned>(std::popcount(wanted));
      sink.Put(SelectPortable(LoadWord(plane, words * 64, count), wanted), n);
      kept += n;
    }
    sink.End();
    return kept;
  }
#endif
  return SelectAll<SelectPortable>(plane, mask, count, sink);
}

size_t CountBoth(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count) {
  Require(a.size() == PackedBytes(count) && b.size() == PackedBytes(count), "both planes have one bit per detection");
#if defined(__x86_64__)
  if (SelectIsFast()) {
    const size_t words = count / 64, rest = count % 64;
    const uint64_t last = rest == 0 ? 0 : LoadWord(a, words * 64, count) & LoadWord(b, words * 64, count);
    return CountWordsFast(a.data(), b.data(), words) + static_cast<size_t>(std::popcount(last));
  }
#endif
  return CountAll(a, b, count);
}

void Combine(PlaneRule rule, std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count, std::span<uint8_t> out) {
  Require(a.size() == PackedBytes(count) && b.size() == a.size() && out.size() == a.size(), "planes that are combined are equally long");
  switch (rule) {
    case PlaneRule::kAnd: CombineWords(a, b, out, [](uint64_t x, uint64_t y) { return x & y; }); break;
    case PlaneRule::kAndNot: CombineWords(a, b, out, [](uint64_t x, uint64_t y) { return x & ~y; }); break;
    case PlaneRule::kXor: CombineWords(a, b, out, [](uint64_t x, uint64_t y) { return x ^ y; }); break;
    case PlaneRule::kSame: CombineWords(a, b, out, [](uint64_t x, uint64_t y) { return ~(x ^ y); }); break;
  }
  if (count % 8 != 0) out.back() &= static_cast<uint8_t>((1u << count % 8) - 1);
}

}  // namespace qkme::post
