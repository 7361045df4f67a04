#include "health.h"

#include <algorithm>

#include "health_scan.h"

namespace qkme {
namespace {

// The longest run of three or more equal bytes, or 0. One random frame in seventeen has any.
uint32_t LongestTriple(const uint8_t* p, size_t length) {
  uint32_t longest = 0;
  for (size_t i = FirstTriple(p, length); i < length; i += FirstTriple(p + i, length - i)) {
    const size_t from = i;
    while (i < length && p[i] == p[from]) ++i;
    longest = std::max(longest, uint32_t(i - from));
  }
  return longest;
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
    KeepStuck(p, part, &ones_, &zeros_);
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
