// Which passes a variant of Cascade makes: the sizes of its blocks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace qkme::post {

/// Variants by their names in the literature: Brassard and Salvail, EUROCRYPT 93 (original); Sugimoto and Yamazaki,
/// IEICE Trans. E83-A 1987 (2000) (biconf); Yan et al., ICNC 2008 (yanetal); Martinez-Mateo et al., Quantum Inf.
/// Comput. 15, 453 (2015), arXiv 1407.3257 (option 7, option 8).
enum class CascadeVariant : uint8_t { kOriginal = 0, kBiconf = 1, kYanEtAl = 2, kOption7 = 3, kOption8 = 4 };
inline constexpr int kCascadeVariants = 5;

/// Passes over halves that a frame gets on top if its check still fails; then it is given up.
inline constexpr uint32_t kCascadeExtraPasses = 16;

struct CascadePlan {
  /// Block size of each pass, in bits; a frame's last block may be shorter.
  std::vector<uint32_t> block_bits;
  /// A block keeps what its bisections disclosed: an error that shows later is looked for in the smallest piece
  /// whose parity is known, not in the whole block.
  bool keeps_pieces = false;
};

/// @param frame_bits  2 to 2^24.
/// @param error_ppm   Expected error rate in millionths, 1 to 500,000.
CascadePlan PlanCascade(CascadeVariant variant, uint32_t frame_bits, uint32_t error_ppm);

}  // namespace qkme::post
