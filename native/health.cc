#include "health.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace qkme {
namespace {

// 16 bytes at once, on any machine that GCC and Clang know: comparisons give 0xFF per equal byte.
typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef int8_t Mask16 __attribute__((vector_size(16)));

inline Bytes16 Load16(const uint8_t* p) {
  Bytes16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// The longest run of three or more equal bytes, or 0. One random frame in seventeen has any; of a run that was found the scan
// goes on behind it.
uint32_t LongestTriple(const uint8_t* p, size_t length) {
  uint32_t longest = 0;
  const auto measure = [&](size_t from) {
    size_t to = from + 1;
    while (to < length && p[to] == p[from]) ++to;
    if (to - from >= 3) longest = std::max(longest, uint32_t(to - from));
    return to;
  };
  size_t i = 0;
  while (i + 18 <= length) {
    const Bytes16 middle = Load16(p + i + 1);
    const Mask16 found = (Load16(p + i) == middle) & (middle == Load16(p + i + 2));
    uint64_t halves[2];
    std::memcpy(halves, &found, sizeof halves);
    if ((halves[0] | halves[1]) == 0) { i += 16; continue; }
    const int first = halves[0] != 0 ? std::countr_zero(halves[0]) / 8 : 8 + std::countr_zero(halves[1]) / 8;
    i = measure(i + size_t(first));
  }
  while (i + 2 < length) i = measure(i);
  return longest;
}

// At most 512 bytes at a time: a lane counts to 32 at most.
uint32_t CountEqual(const uint8_t* p, size_t length, uint8_t value) {
  size_t i = 0;
  Bytes16 counts = {}, wanted;
  std::memset(&wanted, value, sizeof wanted);
  for (; i + 16 <= length; i += 16) counts -= reinterpret_cast<Bytes16>(Load16(p + i) == wanted);
  uint32_t count = 0;
  for (int lane = 0; lane < 16; ++lane) count += counts[lane];
  for (; i < length; ++i) count += p[i] == value;
  return count;
}

}  // namespace

HealthTests::Verdict HealthTests::Add(const uint8_t* bytes, size_t length) {
  if (length == 0) return Verdict::kGood;
  const uint32_t run = LongestRun(bytes, length);
  const bool proportion = Proportion(bytes, length);
  if (DeadLine(bytes, length) || run >= kRepetitionCertain) return Verdict::kStuck;
  return proportion || run >= kRepetitionCutoff ? Verdict::kSuspicious : Verdict::kGood;
}

uint32_t HealthTests::LongestRun(const uint8_t* p, size_t length) {
  uint32_t longest = 0;
  const auto step = [&](uint8_t byte) {
    run_ = run_ > 0 && byte == last_ ? run_ + 1 : 1;
    last_ = byte;
    longest = std::max(longest, run_);
  };
  size_t i = 0;
  // The run that came in with the last frame ends within this one, or fills it.
  while (i < length && run_ > 0 && p[i] == last_) step(p[i++]);
  if (i == length) return longest;
  longest = std::max(longest, LongestTriple(p + i, length - i));
  // The one that goes on in the next frame.
  last_ = p[length - 1];
  run_ = 0;
  for (size_t at = length; at > i && p[at - 1] == last_; --at) run_ += 1;
  return std::max(longest, run_);
}

bool HealthTests::Proportion(const uint8_t* p, size_t length) {
  bool failed = false;
  while (length > 0) {
    if (window_left_ == 0) {
      window_left_ = kProportionWindow;
      window_count_ = 0;
      sample_ = *p;
    }
    const size_t part = std::min<size_t>(length, window_left_);
    window_count_ += CountEqual(p, part, sample_);
    failed |= window_count_ >= kProportionCutoff;
    window_left_ -= uint32_t(part);
    p += part;
    length -= part;
  }
  return failed;
}

bool HealthTests::DeadLine(const uint8_t* p, size_t length) {
  bool dead = false;
  for (size_t left = length / 8; left > 0;) {
    const size_t part = std::min<size_t>(left, kLineWords - words_);
    uint64_t ones = ones_, zeros = zeros_;
    for (size_t i = 0; i < part; ++i) {
      uint64_t word;
      std::memcpy(&word, p + 8 * i, 8);
      ones &= word;
      zeros &= ~word;
    }
    ones_ = ones;
    zeros_ = zeros;
    words_ += uint32_t(part);
    p += 8 * part;
    left -= part;
    if (words_ < kLineWords) continue;
    dead |= (ones_ | zeros_) != 0;
    ones_ = zeros_ = ~uint64_t{0};
    words_ = 0;
  }
  return dead;
}

}  // namespace qkme
