// A row of the decoder without vector instructions of its own: loops over lanes that a compiler can make vectors
// of. It gives the bits of the other ways, including where they saturate.
#include <algorithm>
#include <cstring>

#include "post/ldpc_decoder.h"

namespace qkme::post::ldpc {
namespace {

constexpr uint32_t kLanes = 32;

uint8_t Magnitude(int8_t x) { return static_cast<uint8_t>(x < 0 ? -x : x); }

int8_t Saturate(int x) { return static_cast<int8_t>(std::clamp(x, -128, 127)); }

// The table as steps: g(x) is the number of steps above x, which needs no look-up.
struct Steps {
  uint8_t count;
  uint8_t below[16];
};

Steps StepsOf(const uint8_t* table) {
  Steps steps = {table[0], {}};
  for (uint8_t value = 0; value < steps.count; ++value) {
    uint8_t x = 0;
    while (table[x] > value) ++x;
    steps.below[value] = x;
  }
  return steps;
}

void Combine(uint8_t* __restrict a, const uint8_t* __restrict b, const Steps& steps) {
  uint8_t least[kLanes];
  uint8_t apart[kLanes];
  uint8_t together[kLanes];
  uint8_t minus[kLanes] = {};
  for (uint32_t j = 0; j < kLanes; ++j) {
    least[j] = std::min(a[j], b[j]);
    const uint8_t most = std::max(a[j], b[j]);
    apart[j] = static_cast<uint8_t>(most - least[j]);
    const uint8_t sum = static_cast<uint8_t>(most + least[j]);
    together[j] = sum < most ? uint8_t{255} : sum;
  }
  for (uint8_t s = 0; s < steps.count; ++s) {
    for (uint32_t j = 0; j < kLanes; ++j) {
      minus[j] = static_cast<uint8_t>(minus[j] + (apart[j] < steps.below[s] ? 1 : 0));
      least[j] = static_cast<uint8_t>(least[j] + (together[j] < steps.below[s] ? 1 : 0));
    }
  }
  for (uint32_t j = 0; j < kLanes; ++j) a[j] = least[j] > minus[j] ? static_cast<uint8_t>(least[j] - minus[j]) : uint8_t{0};
}

}  // namespace

uint32_t LayerPortable(const Layer& layer) {
  const Steps steps = StepsOf(layer.correction);
  int8_t incoming[kLdpcRowWeightMax][kLanes];
  int8_t* messages = layer.messages;
  uint32_t unsatisfied = 0;
  for (uint32_t i = 0; i < kLdpcCirculant; i += kLanes, messages += layer.degree * kLanes) {
    uint8_t sign[kLanes];
    uint8_t parity[kLanes];
    uint8_t least[kLanes];
    uint8_t rest[kLanes];
    for (uint32_t j = 0; j < kLanes; ++j) {
      sign[j] = parity[j] = (layer.syndrome[i / 64] >> ((i + j) % 64) & 1) != 0 ? 0x80 : 0;
      least[j] = rest[j] = kMagnitudeMax;
    }
    for (uint32_t k = 0; k < layer.degree; ++k) {
      const int8_t* const at = layer.posteriors + layer.edges[k].column * kColumnStride + (i + layer.edges[k].shift) % kLdpcCirculant;
      uint8_t second[kLanes];
      for (uint32_t j = 0; j < kLanes; ++j) {
        const int8_t in = Magnitude(at[j]) >= kMagnitudeMax ? at[j] : Saturate(at[j] - messages[k * kLanes + j]);
        incoming[k][j] = in;
        const uint8_t magnitude = Magnitude(in);
        sign[j] ^= static_cast<uint8_t>(in);
        parity[j] ^= static_cast<uint8_t>(at[j]);
        second[j] = std::max(least[j], magnitude);
        least[j] = std::min(least[j], magnitude);
      }
      Combine(rest, second, steps);
    }
    uint8_t all[kLanes];
    std::memcpy(all, rest, kLanes);
    Combine(all, least, steps);
    for (uint32_t j = 0; j < kLanes; ++j) unsatisfied += parity[j] >> 7;
    for (uint32_t k = 0; k < layer.degree; ++k) {
      int8_t* const at = layer.posteriors + layer.edges[k].column * kColumnStride + (i + layer.edges[k].shift) % kLdpcCirculant;
      for (uint32_t j = 0; j < kLanes; ++j) {
        const int8_t in = incoming[k][j];
        const int magnitude = std::min<int>(Magnitude(in) == least[j] ? rest[j] : all[j], kMessageMax);
        const int message = ((sign[j] ^ static_cast<uint8_t>(in)) & 0x80) != 0 ? -magnitude : magnitude;
        messages[k * kLanes + j] = static_cast<int8_t>(message);
        at[j] = Saturate(in + message);
      }
    }
  }
  return unsatisfied;
}

}  // namespace qkme::post::ldpc
