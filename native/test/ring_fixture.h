// A ring in ordinary memory with both of its sides, for tests.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "ingest.h"
#include "ring_producer.h"

namespace qkme::test {

inline constexpr uint32_t kLink = 7;
inline const uint8_t kFingerprintKey[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct Memory {
  explicit Memory(uint32_t nslots, uint32_t stride = kStrideDefault) {
    geometry = {.nslots = nslots, .stride = stride, .link = kLink};
    base = static_cast<uint8_t*>(std::aligned_alloc(4096, (geometry.RegionBytes() + 4095) / 4096 * 4096));
    std::memset(base, 0, geometry.RegionBytes());
    FormatRing(base, geometry);
  }
  ~Memory() { std::free(base); }
  RingView view() const { return {base, geometry}; }
  RingControl* control() const { return view().control(); }
  uint8_t* base;
  RingGeometry geometry;
};

/// Bytes that depend on a seed and look like key (a xorshift generator).
inline void FillPayload(uint64_t seed, uint8_t* out, size_t length) {
  uint64_t x = seed * 0x9E3779B97F4A7C15 + 0x1234567;
  for (size_t i = 0; i < length; ++i) {
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    out[i] = uint8_t(x >> 32);
  }
}

inline FrameHeader HeaderFor(uint64_t block, uint32_t offset, uint32_t length) {
  FrameHeader h{};
  h.link = kLink;
  h.qber_ppm = 12345;
  std::memcpy(h.block_id, &block, 8);
  h.payload_bytes = length;
  h.offset = offset;
  return h;
}

/// Publishes one good frame named (block, offset) whose payload is made from `seed`.
inline bool Put(RingProducer& producer, uint64_t block, uint32_t offset, uint64_t seed, uint32_t length = kFramePayloadMax,
                uint16_t flags = 0, FrameMac* mac = nullptr) {
  Slot* slot = producer.Claim();
  if (slot == nullptr) return false;
  FillPayload(seed, slot->payload, length);
  FrameHeader h = HeaderFor(block, offset, length);
  h.flags = flags;
  producer.Complete(h, mac);
  return true;
}

/// "Seals" by keeping header and payload.
struct KeepingSink : RecordSink {
  struct Kept { RecordHeader header; std::vector<uint8_t> payload; };
  bool Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t*) override {
    if (refuse) return false;
    kept.push_back({header, std::vector<uint8_t>(payload, payload + length)});
    return true;
  }
  std::vector<Kept> kept;
  bool refuse = false;
};

/// An ingest over a ring, with room for one drain.
struct Side {
  explicit Side(const RingView& view, uint64_t position = 0, const uint8_t* mac_key = nullptr, uint64_t ns_per_drain = 1'000'000'000'000)
      : ingest(view, position, {.link = kLink, .remembered_frames = 1024, .fingerprint_key = kFingerprintKey, .mac_key = mac_key, .ns_per_drain = ns_per_drain}) {}
  DrainOutcome Drain() { return ingest.Drain(sink, 3, out.data(), meta.data(), Ingest::kFramesPerDrain); }
  std::vector<Incident> Incidents() {
    std::vector<Incident> got(Ingest::kIncidentsMax);
    got.resize(ingest.TakeIncidents(got.data(), Ingest::kIncidentsMax));
    return got;
  }
  KeepingSink sink;
  Ingest ingest;
  std::vector<uint8_t> out = std::vector<uint8_t>(Ingest::kFramesPerDrain * kRecordStride);
  std::vector<uint32_t> meta = std::vector<uint32_t>(Ingest::kFramesPerDrain * Ingest::kMetaNumbers);
};

}  // namespace qkme::test
