#include "health.h"

#include <algorithm>
#include <cstring>

namespace qkme {
namespace {

// Three equal bytes in a row anywhere? Written so that the compiler makes vectors of it: only one random
// frame in seventeen goes on to the byte-by-byte count.
bool AnyTriple(const uint8_t* p, size_t length) {
  uint8_t found = 0;
  for (size_t i = 0; i + 2 < length; ++i) found |= uint8_t(p[i] == p[i + 1]) & uint8_t(p[i + 1] == p[i + 2]);
  return found != 0;
}

uint32_t CountEqual(const uint8_t* p, size_t length, uint8_t value) {
  uint32_t count = 0;
  for (size_t i = 0; i < length; ++i) count += p[i] == value;
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
  if (AnyTriple(p + i, length - i)) {
    for (; i < length; ++i) step(p[i]);
  } else {
    for (i = std::max(i, length >= 2 ? length - 2 : 0); i < length; ++i) step(p[i]);
  }
  return longest;
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
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    ones_ &= word;
    zeros_ &= ~word;
    if (++words_ < kLineWords) continue;
    dead |= (ones_ | zeros_) != 0;
    ones_ = zeros_ = ~uint64_t{0};
    words_ = 0;
  }
  return dead;
}

}  // namespace qkme
