// A hostile device on a ring: frames in any form, and scribbles over the shared memory between two drains.
#include "fuzz/fuzz.h"
#include "test/ring_fixture.h"

using namespace qkme;
using namespace qkme::fuzz;
using namespace qkme::test;

namespace {

constexpr uint32_t kSlots = 8;

/// An ingest with little room, because it is made anew for each input.
struct Consumer {
  explicit Consumer(const RingView& view) : ingest(view, 0, {.link = kLink, .remembered_frames = 64, .fingerprint_key = kFingerprintKey, .ns_per_drain = 1'000'000'000'000}) {}
  KeepingSink sink;
  Ingest ingest;
};

enum Op : uint8_t { kRaw, kShaped, kGood, kScribble, kDrain, kOps };

/// Mends what of the header the input wants mended, so that checks behind the first are reached.
void Shape(Input& input, FrameHeader& h, const uint8_t* payload, const RingProducer& producer) {
  const uint8_t mend = input.U8();
  h.magic = kFrameMagic;
  h.version = kFrameVersion;
  h.header_bytes = sizeof h;
  h.flags &= kFrameFlagsKnown;
  h.payload_bytes = 1 + h.payload_bytes % kFramePayloadMax;
  if (mend & 1) h.link = kLink;
  if (mend & 2) h.epoch = uint32_t(producer.epoch());
  if (mend & 4) h.sequence = producer.next_sequence();
  if (mend & 8) h.flags &= uint16_t(~kFrameMac);
  if (!(mend & 16)) h.crc = FrameCrc(h, payload);
}

void Publish(Input& input, RingProducer& producer, Op op) {
  Slot* const slot = producer.Claim();
  if (slot == nullptr) return;
  if (op == kGood) {
    Put(producer, input.U8(), input.U8(), input.U8(), 1 + input.U16() % kFramePayloadMax, input.U8() & (kFrameLast | kFrameTest | kFrameAborted | kFrameGap));
    return;
  }
  FrameHeader header{};
  input.Take(&header, sizeof header);
  input.Take(slot->payload, input.U8());
  if (op == kShaped) Shape(input, header, slot->payload, producer);
  std::memcpy(slot->header, &header, sizeof header);
  producer.Publish();
}

void DrainAll(Consumer& side) {
  static uint8_t out[2 * kSlots * kRecordStride];
  static uint32_t meta[2 * kSlots * Ingest::kMetaNumbers];
  static Incident incidents[Ingest::kIncidentsMax];
  const size_t before = side.sink.kept.size();
  const DrainOutcome done = side.ingest.Drain(side.sink, 3, out, meta, 2 * kSlots);
  Must(done.records <= 2 * kSlots && done.records + done.repeats + done.refused <= Ingest::kFramesPerDrain, "a drain is bounded");
  Must(side.sink.kept.size() - before == done.records, "each record was sealed once");
  for (size_t i = before; i < side.sink.kept.size(); ++i) {
    const auto& [header, payload] = side.sink.kept[i];
    Must(header.link == kLink, "a record is of this link");
    Must(!payload.empty() && payload.size() <= kFramePayloadMax && header.payload_bytes == payload.size(), "a record has its length");
  }
  Must(side.ingest.TakeIncidents(incidents, Ingest::kIncidentsMax) <= Ingest::kIncidentsMax, "incidents are bounded");
  side.ingest.Acknowledge(done.ticket);
  if (side.ingest.quarantine() != Quarantine::kNone) side.ingest.Resume();
  side.sink.kept.clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Memory memory(kSlots);
  RingProducer producer(memory.view(), 0, 1);
  Consumer side(memory.view());
  Input input(data, size);
  for (int steps = 0; steps < 256 && !input.empty(); ++steps) {
    const Op op = Op(input.U8() % kOps);
    if (op == kDrain) {
      DrainAll(side);
    } else if (op == kScribble) {
      // A device can write anywhere, at any time; here between two drains.
      const size_t at = input.U32() % (memory.geometry.RegionBytes() - 8);
      input.Take(memory.base + at, 1 + input.U8() % 8);
    } else {
      Publish(input, producer, op);
    }
  }
  DrainAll(side);
  return 0;
}

std::vector<Bytes> qkme::fuzz::Seeds() {
  Bytes good;
  for (uint8_t n = 0; n < 12; ++n) good.insert(good.end(), {kGood, n, 0, n, uint8_t(31 + n), 0, 0, kDrain});
  Bytes shaped = {kShaped};
  const FrameHeader header = HeaderFor(3, 1, 100);
  shaped.insert(shaped.end(), reinterpret_cast<const uint8_t*>(&header), reinterpret_cast<const uint8_t*>(&header + 1));
  shaped.push_back(200);
  for (int i = 0; i < 200; ++i) shaped.push_back(uint8_t(i * 7));
  shaped.insert(shaped.end(), {15, kDrain, kScribble, 0x80, 0, 0, 0, 3, 1, 2, 3, 4, kDrain});
  Bytes repeated = shaped;
  repeated.insert(repeated.end(), shaped.begin(), shaped.end());
  repeated.insert(repeated.end(), good.begin(), good.end());
  return {good, shaped, repeated};
}
