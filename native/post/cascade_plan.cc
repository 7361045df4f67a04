#include "post/cascade_plan.h"

#include <algorithm>
#include <cmath>

#include "post/error.h"

namespace qkme::post {
CascadePlan PlanCascade(CascadeVariant variant, uint32_t frame_bits, uint32_t error_ppm) {
  Require(frame_bits >= 2 && frame_bits <= 1u << 24, "a frame of Cascade has 2 to 2^24 bits");
  Require(error_ppm >= 1 && error_ppm <= 500'000, "an expected error rate is 1 to 500000 millionths");
  const double e = error_ppm / 1e6;
  const uint32_t half = (frame_bits + 1) / 2;
  const auto size = [half](double bits) { return static_cast<uint32_t>(std::clamp(std::ceil(bits - 1e-9), 2.0, static_cast<double>(std::max(2u, half)))); };
  CascadePlan plan;
  const auto halves_up_to = [&](size_t passes) { plan.block_bits.resize(passes, std::max(2u, half)); };
  plan.keeps_pieces = variant != CascadeVariant::kOriginal && variant != CascadeVariant::kBiconf;
  switch (variant) {
    case CascadeVariant::kOriginal:
      for (double k = std::ceil(0.73 / e); plan.block_bits.size() < 4; k *= 2) plan.block_bits.push_back(size(k));
      break;
    case CascadeVariant::kBiconf: {
      const double k = std::ceil(0.92 / e);
      plan.block_bits = {size(k), size(3 * k)};
      halves_up_to(2 + 10);
      break;
    }
    case CascadeVariant::kYanEtAl: {
      const double k = std::ceil(0.80 / e);
      plan.block_bits = {size(k), size(5 * k)};
      halves_up_to(10);
      break;
    }
    case CascadeVariant::kOption7: {
      const double k = std::exp2(std::ceil(std::log2(1 / e) - 1e-9));
      plan.block_bits = {size(k), size(4 * k)};
      halves_up_to(14);
      break;
    }
    case CascadeVariant::kOption8: {
      const double a = std::log2(1 / e) - 0.5;
      plan.block_bits = {size(std::exp2(std::ceil(a))), size(std::exp2(std::ceil((a + 12) / 2))), size(4096)};
      halves_up_to(14);
      break;
    }
  }
  Require(!plan.block_bits.empty(), "a known variant of Cascade");
  halves_up_to(plan.block_bits.size() + kCascadeExtraPasses);
  return plan;
}

}  // namespace qkme::post
