#include "bench/drain.h"

#include <time.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "frame_source.h"
#include "ingest.h"
#include "region.h"
#include "ring_producer.h"
#include "vault/sealer.h"

namespace qkme::bench {
namespace {

constexpr uint32_t kSlots = 4096, kLink = 1;
constexpr uint32_t kRemembered = 1u << 16;
const uint8_t kKey[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct DropSink : RecordSink {
  bool Seal(const RecordHeader&, const uint8_t*, size_t, uint8_t*) override { return true; }
};

struct SealSink : RecordSink {
  bool Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t* out) override {
    return sealer.Seal(header, payload, length, out);
  }
  vault::Sealer sealer{kKey, 1};
};

// What else runs on the machine does not count, as far as it leaves the caches alone.
uint64_t ThreadCpuNs() {
  timespec spent;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return uint64_t(spent.tv_sec) * 1'000'000'000 + uint64_t(spent.tv_nsec);
}

void Fill(RingProducer& producer, FrameSource& source, uint64_t block, uint32_t payload_bytes) {
  for (uint32_t i = 0; Slot* slot = producer.Claim(); ++i) {
    if (!source.Fill(block, 0, uint64_t{i} * kStrideDefault, slot->payload, payload_bytes)) throw std::runtime_error("no payload");
    FrameHeader header{};
    header.link = kLink;
    std::memcpy(header.block_id, &block, sizeof block);
    header.payload_bytes = payload_bytes;
    header.offset = i * (kStrideDefault / 32);
    producer.Complete(header, nullptr);
  }
}

}  // namespace

double DrainPerSecond(uint32_t payload_bytes, bool seal, uint64_t duration_ns) {
  const auto region = Region::CreateMemfd({.nslots = kSlots, .stride = kStrideDefault, .link = kLink});
  RingProducer producer(region->view(), 0, 1);
  FrameSource source(kKey);
  Ingest ingest(region->view(), 0, {.link = kLink, .remembered_frames = kRemembered, .fingerprint_key = kKey});
  const std::unique_ptr<RecordSink> sink = seal ? std::unique_ptr<RecordSink>(new SealSink) : std::make_unique<DropSink>();
  std::vector<uint8_t> out(size_t{Ingest::kFramesPerDrain} * kRecordStride);
  std::vector<uint32_t> meta(size_t{Ingest::kFramesPerDrain} * Ingest::kMetaNumbers);
  uint64_t spent_ns = 0, frames = 0;
  for (uint64_t block = 1; spent_ns < duration_ns; ++block) {
    Fill(producer, source, block, payload_bytes);
    const uint64_t start = ThreadCpuNs();
    for (bool more = true; more;) {
      const DrainOutcome done = ingest.Drain(*sink, 0, out.data(), meta.data(), Ingest::kFramesPerDrain);
      if (done.refused > 0 || done.repeats > 0 || (done.records == 0 && done.more)) throw std::runtime_error("a frame was refused");
      ingest.Acknowledge(done.ticket);
      frames += done.records;
      more = done.more;
    }
    spent_ns += ThreadCpuNs() - start;
  }
  return double(frames) * 1e9 / double(spent_ns);
}

}  // namespace qkme::bench
