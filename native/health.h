// Is the device stuck? The continuous health tests of NIST SP 800-90B (4.4.1, 4.4.2) on the bytes of
// delivered key, with H = 8 bits per byte and alpha = 2^-40, and a test for lines of a parallel bus that do not move.
// A sanity check of a device, not a proof of secrecy; the start-up test of 90B is the device's own affair.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme {

/// Repetition count, C = 1 + ceil(40 / 8): the same byte six times in a row.
inline constexpr uint32_t kRepetitionCutoff = 6;
/// Twice the exponent (alpha = 2^-80): not by chance in the life of a link.
inline constexpr uint32_t kRepetitionCertain = 11;
/// Adaptive proportion, W = 512, C = 1 + critbinom(512, 2^-8, 1 - 2^-40).
inline constexpr uint32_t kProportionWindow = 512;
inline constexpr uint32_t kProportionCutoff = 19;
/// A bit of the 64-bit words that is the same in this many words (chance 2^-121 for all 64 together).
inline constexpr uint32_t kLineWords = 128;

class HealthTests {
 public:
  enum class Verdict {
    kGood,
    kSuspicious,  ///< below a cut-off of 2^-40: happens to a good device once in 10^12 bytes
    kStuck,       ///< not by chance
  };

  /// The next bytes of the link, in order. State carries over from frame to frame.
  Verdict Add(const uint8_t* bytes, size_t length);
  void Reset() { *this = HealthTests(); }

 private:
  uint32_t LongestRun(const uint8_t* bytes, size_t length);
  bool Proportion(const uint8_t* bytes, size_t length);
  bool DeadLine(const uint8_t* bytes, size_t length);

  uint32_t run_ = 0;
  uint8_t last_ = 0;
  uint8_t sample_ = 0;
  uint32_t window_left_ = 0, window_count_ = 0;
  uint64_t ones_ = ~uint64_t{0}, zeros_ = ~uint64_t{0};
  uint32_t words_ = 0;
};

}  // namespace qkme
