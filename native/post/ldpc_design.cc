#include "post/ldpc_design.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "post/error.h"

namespace qkme::post {
namespace {

struct Anchor {
  uint32_t rows;
  double error_rate;  ///< about where it is used: sets the unit of the decoder
  std::array<LdpcDegree, 6> degrees;
};

// Found by a random search for the distribution with the highest threshold under density evolution of this
// decoder's own arithmetic (Richardson, Shokrollahi and Urbanke, IEEE Trans. Inf. Theory 47, 619 (2001)).
constexpr Anchor kAnchors[] = {
    {14, 0.0041, {{{2, 10}, {3, 188}, {7, 6}, {9, 35}, {11, 17}, {12, 0}}}},
    {24, 0.0093, {{{2, 21}, {3, 164}, {7, 9}, {9, 43}, {10, 19}, {12, 0}}}},
    {57, 0.0305, {{{2, 53}, {3, 139}, {7, 4}, {9, 39}, {13, 21}, {14, 0}}}},
    {129, 0.0980, {{{2, 86}, {3, 126}, {4, 2}, {8, 21}, {12, 0}, {14, 21}}}},
    {152, 0.1240, {{{2, 100}, {3, 112}, {4, 4}, {8, 20}, {12, 0}, {14, 20}}}},
};

// Magnitude of a received bit: high enough that rounding costs little, low enough that columns of high degree do not
// saturate before they are right.
constexpr int8_t kChannel = 12;

constexpr LdpcMother kMothers[] = {
    {14, 4'650}, {16, 5'550}, {18, 6'500}, {20, 7'550}, {22, 8'650}, {24, 9'800}, {27, 11'450}, {30, 13'250}, {33, 15'100},
    {36, 17'050}, {40, 19'850}, {44, 22'550}, {48, 25'400}, {51, 27'600}, {54, 30'000}, {57, 32'150}, {63, 36'750}, {69, 41'600},
    {76, 47'550}, {84, 54'700}, {92, 62'300}, {101, 71'350}, {111, 82'050}, {122, 95'000}, {129, 103'150}, {142, 119'550}, {152, 133'100},
};

// Counts of columns by degree.
using Histogram = std::map<uint32_t, double>;

Histogram Mixed(const Anchor& a, const Anchor& b, double share) {
  Histogram mixed;
  for (const LdpcDegree& group : a.degrees) mixed[group.degree] += group.columns * (1 - share);
  for (const LdpcDegree& group : b.degrees) mixed[group.degree] += group.columns * share;
  return mixed;
}

}  // namespace

std::span<const LdpcMother> LdpcMothers() { return kMothers; }

LdpcDesign LdpcDesignOf(uint32_t rows) {
  const auto* const last = std::end(kAnchors) - 1;
  const Anchor* above = std::find_if(std::begin(kAnchors), last, [&](const Anchor& anchor) { return anchor.rows >= rows; });
  const Anchor* const below = above == std::begin(kAnchors) || above->rows == rows ? above : above - 1;
  Require(rows >= below->rows && rows <= above->rows, "a code lies within the table of designs");
  const double share = above == below ? 0 : static_cast<double>(rows - below->rows) / (above->rows - below->rows);
  LdpcDesign design;
  design.rows = rows;
  design.channel = kChannel;
  design.error_rate = below->error_rate + share * (above->error_rate - below->error_rate);
  // Rounded so that the counts add up: what a count loses goes to the next.
  double carried = 0;
  uint32_t columns = 0;
  for (const auto& [degree, count] : Mixed(*below, *above, share)) {
    carried += count;
    const auto upto = static_cast<uint32_t>(carried + 0.5);
    if (upto > columns) design.degrees.push_back({degree, upto - columns});
    columns = upto;
  }
  return design;
}

std::shared_ptr<const LdpcCode> LdpcCodeOf(uint32_t rows) {
  static std::mutex mutex;
  static std::map<uint32_t, std::shared_ptr<const LdpcCode>> codes;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const LdpcCode>& code = codes[rows];
  if (code == nullptr) code = std::make_shared<const LdpcCode>(LdpcDesignOf(rows));
  return code;
}

}  // namespace qkme::post
