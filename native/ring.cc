#include "ring.h"

#include <time.h>

#include "crc32c.h"

namespace qkme {
namespace {

constexpr size_t kStaticBytes = 44;  // before the CRC
constexpr size_t kEpochAt = offsetof(RingControl, epoch);

// The epoch changes while the rest does not, so the sum leaves it out: one atomic store changes the epoch.
uint32_t StaticCrc(const uint8_t* bytes) {
  uint8_t copy[kStaticBytes];
  std::memcpy(copy, bytes, kStaticBytes);
  std::memset(copy + kEpochAt, 0, sizeof(uint64_t));
  return Crc32c(copy, kStaticBytes);
}

}  // namespace

void FormatRing(uint8_t* base, const RingGeometry& geometry) {
  RingView view{base, geometry};
  for (uint64_t i = 0; i < geometry.nslots; ++i) view.slot(i)->turn.store(i, std::memory_order_relaxed);
  RingControl* control = view.control();
  control->version = kRingVersion;
  control->nslots = geometry.nslots;
  control->stride = geometry.stride;
  control->slots_off = geometry.slots_off;
  control->epoch.store(0, std::memory_order_relaxed);
  control->region_len = geometry.RegionBytes();
  control->link = geometry.link;
  uint8_t bytes[kStaticBytes];
  std::memcpy(bytes, base, kStaticBytes);
  std::memcpy(bytes, &kRingMagic, sizeof kRingMagic);
  control->crc = StaticCrc(bytes);
  // Release: whoever sees the magic (acquire in ReadRingHeader) sees all of the above.
  control->magic.store(kRingMagic, std::memory_order_release);
}

const char* ReadRingHeader(const uint8_t* base, uint64_t region_bytes, RingGeometry* geometry) {
  if (region_bytes < sizeof(RingControl)) return "region is shorter than its header";
  const RingControl* shared = reinterpret_cast<const RingControl*>(base);
  if (shared->magic.load(std::memory_order_acquire) != kRingMagic) return "magic is not QKDRING1 (not a ring, or not initialised yet)";
  uint8_t bytes[kStaticBytes + 4];
  CopyOnce(bytes, base, sizeof bytes);
  uint32_t words[11];
  std::memcpy(words, bytes, sizeof words);
  uint32_t crc = 0;
  std::memcpy(&crc, bytes + kStaticBytes, sizeof crc);
  if (words[2] != kRingVersion) return "version is not 1";
  if (crc != StaticCrc(bytes)) return "checksum of the header is wrong";
  RingGeometry found{.nslots = words[3], .stride = words[4], .slots_off = words[5], .link = words[10]};
  uint64_t region_len = 0;
  std::memcpy(&region_len, bytes + offsetof(RingControl, region_len), sizeof region_len);
  if (const char* fault = GeometryFault(found, region_bytes)) return fault;
  if (region_len != found.RegionBytes()) return "region length does not fit number of slots and stride";
  *geometry = found;
  return nullptr;
}

uint64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

}  // namespace qkme
