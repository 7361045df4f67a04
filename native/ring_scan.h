// Finding one's place in a ring again after a restart, from the turn words alone (docs/ring-format.md,
// "Recovery"). `head` and `tail` are only hints and may lie; the turns either fit together or are refused.
#pragma once

#include <optional>

#include "ring.h"

namespace qkme {

struct RingPlaces {
  uint64_t read = 0;   ///< position of the next frame to read
  uint64_t write = 0;  ///< position of the next frame to write
  bool operator==(const RingPlaces&) const = default;
};

/// One pass over all turns. Empty if they do not form one window of n positions, published ones first.
inline std::optional<RingPlaces> ScanOnce(const RingView& ring) {
  const uint64_t n = ring.geometry.nslots;
  uint64_t low = UINT64_MAX, high = 0, published_end = 0, free_low = UINT64_MAX;
  bool any_published = false;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t turn = ring.slot(i)->turn.load(std::memory_order_acquire);  // C1, P2
    const bool published = (turn & (n - 1)) == ((i + 1) & (n - 1));
    if (!published && (turn & (n - 1)) != i) return std::nullopt;
    const uint64_t position = published ? turn - 1 : turn;
    if (position > UINT64_MAX - 2 * n) return std::nullopt;
    low = position < low ? position : low;
    high = position > high ? position : high;
    if (published) {
      any_published = true;
      if (position + 1 > published_end) published_end = position + 1;
    } else if (position < free_low) {
      free_low = position;
    }
  }
  if (high - low != n - 1) return std::nullopt;
  const uint64_t write = any_published ? published_end : low;
  if (free_low < write) return std::nullopt;  // a hole among the published ones
  return RingPlaces{low, write};
}

/// Positions of both sides, while at most one of them is moving: two passes that agree. The other side may
/// advance during a pass (then the pass is inconsistent or differs), so a few are tried. Empty: the turns are damaged.
inline std::optional<RingPlaces> ScanRing(const RingView& ring, int passes_max = 64) {
  std::optional<RingPlaces> last;
  for (int pass = 0; pass < passes_max; ++pass) {
    std::optional<RingPlaces> now = ScanOnce(ring);
    if (now && last && *now == *last) return now;
    last = now;
  }
  return std::nullopt;
}

/// What one side can still find while the other one never pauses. A slot keeps its position when it is
/// published, so the reader's place is the lowest position, in one pass; positions of a window being
/// moved by the reader are seen at most one window apart, so the writer's place is behind the last published one.
inline std::optional<uint64_t> ScanReadPlace(const RingView& ring) {
  const uint64_t n = ring.geometry.nslots;
  uint64_t low = UINT64_MAX, high = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t turn = ring.slot(i)->turn.load(std::memory_order_acquire);  // C1
    const uint64_t offset = (turn - i) & (n - 1);
    if (offset > 1) return std::nullopt;
    const uint64_t position = turn - offset;
    if (position > UINT64_MAX - 2 * n) return std::nullopt;
    low = position < low ? position : low;
    high = position > high ? position : high;
  }
  if (high - low != n - 1) return std::nullopt;
  return low;
}

}  // namespace qkme
