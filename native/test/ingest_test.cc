// Frames of a good, a careless and a hostile device (docs/ring-format.md, "Recovery").
#include "check.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::test;

namespace {
const uint8_t kMacKey[32] = {7, 7, 7};

bool Has(const std::vector<Incident>& incidents, IncidentKind kind, uint32_t detail) {
  for (const Incident& i : incidents) if (i.kind == uint32_t(kind) && i.detail == detail) return true;
  return false;
}
}  // namespace

TEST("good frames arrive in order, whole, named, and the slot is wiped") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  const uint32_t lengths[] = {1, 7, 8, 31, 1000, 3967, 3968};
  for (uint32_t i = 0; i < 7; ++i) CHECK(Put(producer, 5, i * 124, i, lengths[i], i == 6 ? kFrameLast : 0));
  const DrainOutcome done = side.Drain();
  CHECK(done.records == 7 && done.refused == 0 && !done.more);
  for (uint32_t i = 0; i < 7; ++i) {
    const auto& kept = side.sink.kept[i];
    std::vector<uint8_t> want(lengths[i]);
    FillPayload(i, want.data(), want.size());
    CHECK(kept.payload == want);
    CHECK(kept.header.link == kLink && kept.header.offset == i * 124 && kept.header.device_block[0] == 5);
    CHECK(kept.header.sequence == i + 1 && kept.header.device_epoch == 1 && kept.header.key_slot == 3);
    CHECK(kept.header.qber_ppm == 12345 && kept.header.payload_bytes == lengths[i]);
    CHECK(side.meta[4 * i] == SealedBytes(lengths[i]) && side.meta[4 * i + 1] == lengths[i]);
    const uint8_t* slot = reinterpret_cast<const uint8_t*>(memory.view().slot(i));
    for (size_t b = offsetof(Slot, header); b < kStrideDefault; ++b) CHECK(slot[b] == 0);
  }
  CHECK(side.Incidents().empty());
}

TEST("every flip of one bit of a frame is refused, with and without MAC") {
  for (const bool with_mac : {false, true}) {
    Memory memory(8);
    RingProducer producer(memory.view(), 0, 1);
    FrameMac mac(kMacKey);
    Side side(memory.view(), 0, with_mac ? kMacKey : nullptr);
    const uint32_t length = 150, bits = (64 + length + (with_mac ? 16 : 0)) * 8;
    for (uint32_t bit = 0; bit < bits; ++bit) {
      Slot* slot = producer.Claim();
      CHECK(slot != nullptr && Put(producer, 1, bit, bit, length, 0, with_mac ? &mac : nullptr));
      reinterpret_cast<uint8_t*>(slot)[offsetof(Slot, header) + bit / 8] ^= uint8_t(1 << bit % 8);
      const DrainOutcome done = side.Drain();
      CHECK(done.refused == 1 && done.records == 0 && side.sink.kept.empty());
      side.ingest.Resume();
      side.ingest.Acknowledge(done.ticket);
    }
    CHECK(Put(producer, 1, bits, 1, length, 0, with_mac ? &mac : nullptr));
    CHECK(side.Drain().records == 1);
  }
}

TEST("a link with a MAC key takes no frame without one, and the other way round") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side with(memory.view(), 0, kMacKey);
  CHECK(Put(producer, 1, 0, 1));
  CHECK(with.Drain().refused == 1 && with.ingest.counter(kBadMac) == 1);
  Memory other(8);
  RingProducer sealing(other.view(), 0, 1);
  FrameMac mac(kMacKey);
  Side without(other.view());
  CHECK(Put(sealing, 1, 0, 1, 3952, 0, &mac));
  CHECK(without.Drain().refused == 1 && without.ingest.counter(kBadMac) == 1);
}

TEST("lengths at and beyond the bounds") {
  Memory memory(8, 1024);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  CHECK(Put(producer, 1, 0, 1, 1024 - 128));
  CHECK(side.Drain().records == 1);
  for (const uint32_t length : {0u, 1024u - 128 + 1, 3968u, 3969u, 0xFFFFFFFFu}) {
    Slot* slot = producer.Claim();
    FrameHeader h = HeaderFor(2, length, length);
    h.magic = kFrameMagic; h.version = 1; h.header_bytes = 64; h.sequence = producer.next_sequence(); h.epoch = 1;
    std::memcpy(slot->header, &h, 64);
    producer.Publish();
    CHECK(side.Drain().refused == 1);
    side.ingest.Resume();
  }
  CHECK(side.ingest.counter(kBadForm) == 5);
}

TEST("the same name twice: equal bytes are a repeat, other bytes quarantine, both are never stored") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  CHECK(Put(producer, 1, 0, 10) && Put(producer, 1, 0, 10));
  DrainOutcome done = side.Drain();
  CHECK(done.records == 1 && done.repeats == 1 && side.ingest.quarantine() == Quarantine::kNone);
  CHECK(Put(producer, 1, 0, 11) && Put(producer, 2, 0, 12));
  done = side.Drain();
  CHECK(done.records == 0 && done.refused == 1 && side.ingest.quarantine() == Quarantine::kOtherBytes);
  CHECK(side.sink.kept.size() == 1);
  // Nothing more is taken before somebody decides.
  CHECK(side.Drain().records == 0);
  // What waited may be more of the same: it is discarded, told to the device as done with, and no gap.
  side.ingest.Resume();
  CHECK(side.ingest.counter(kDiscardedFrames) == 1 && side.ingest.drained_sequence() == 4);
  CHECK(side.Drain().records == 0);
  CHECK(Put(producer, 2, 0, 12));
  CHECK(side.Drain().records == 1 && side.ingest.counter(kGaps) == 0);
}

TEST("a replay that waits behind the one that quarantined does not quarantine again after the release") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  for (uint32_t i = 0; i < 4; ++i) CHECK(Put(producer, 1, i, i));
  CHECK(side.Drain().records == 4);
  for (uint32_t i = 0; i < 4; ++i) CHECK(Put(producer, 9, i, i));
  side.Drain();
  CHECK(side.ingest.quarantine() == Quarantine::kReplay);
  side.ingest.Resume();
  CHECK(side.Drain().records == 0 && side.ingest.quarantine() == Quarantine::kNone);
  CHECK(side.ingest.counter(kDiscardedFrames) == 3);
  // Without a quarantine nothing is discarded.
  CHECK(Put(producer, 2, 0, 100));
  side.ingest.Resume();
  CHECK(side.Drain().records == 1);
}

TEST("the newest headers are kept, oldest first, without their checksum") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  for (uint32_t i = 0; i < 20; ++i) { CHECK(Put(producer, 1, i, i)); side.ingest.Acknowledge(side.Drain().ticket); }
  FrameHeader kept[32];
  CHECK(side.ingest.RecentHeaders(kept, 32) == Ingest::kRecentHeaders);
  for (uint32_t i = 0; i < 16; ++i) CHECK(kept[i].offset == i + 4 && kept[i].crc == 0 && kept[i].magic == kFrameMagic);
  CHECK(side.ingest.RecentHeaders(kept, 2) == 2 && kept[1].offset == 19);
}

TEST("the same bytes under a new name quarantine, also in a new epoch and after a restart of the KME") {
  for (int kind = 0; kind < 3; ++kind) {
    Memory memory(8);
    auto producer = std::make_unique<RingProducer>(memory.view(), 0, 1);
    auto side = std::make_unique<Side>(memory.view());
    CHECK(Put(*producer, 1, 0, 10) && side->Drain().records == 1);
    const RecordHeader stored = side->sink.kept[0].header;
    if (kind == 1) producer = std::make_unique<RingProducer>(memory.view(), 1, 2);
    if (kind == 2) {
      side = std::make_unique<Side>(memory.view(), 1);
      side->ingest.Remember(stored);
    }
    CHECK(Put(*producer, 2, 0, 10));
    const DrainOutcome done = side->Drain();
    CHECK(done.refused == 1 && done.records == 0 && side->ingest.quarantine() == Quarantine::kReplay);
    CHECK(Has(side->Incidents(), IncidentKind::kReplay, 0));
  }
}

TEST("payloads of seven bytes may be equal by chance, of eight not") {
  for (const uint32_t length : {7u, 8u}) {
    Memory memory(8);
    RingProducer producer(memory.view(), 0, 1);
    Side side(memory.view());
    CHECK(Put(producer, 1, 0, 10, length) && Put(producer, 2, 0, 10, length));
    CHECK(side.Drain().records == (length == 7 ? 2u : 1u));
    CHECK((side.ingest.quarantine() == Quarantine::kReplay) == (length == 8));
  }
}

TEST("three bad frames in a row quarantine; two and a good one do not") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  const auto bad = [&](uint32_t n) { Slot* slot = producer.Claim(); Put(producer, 9, n, n); slot->payload[5] ^= 1; };
  bad(1); bad(2);
  CHECK(Put(producer, 1, 0, 100));
  bad(3); bad(4);
  DrainOutcome done = side.Drain();
  CHECK(done.refused == 4 && done.records == 1 && side.ingest.quarantine() == Quarantine::kNone);
  bad(5);
  done = side.Drain();
  CHECK(side.ingest.quarantine() == Quarantine::kThreeBad && side.ingest.counter(kBadCrc) == 5);
  CHECK(memory.control()->bad_crc.load() == 5);
}

TEST("a stuck device: certain at once, suspicious only when it comes twice") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  const auto run = [&](uint32_t n, size_t equal) {
    Slot* slot = producer.Claim();
    FillPayload(n, slot->payload, 3968);
    std::memset(slot->payload + 50, 0xA5, equal);
    producer.Complete(HeaderFor(n, 0, 3968), nullptr);
  };
  run(1, 6);
  DrainOutcome done = side.Drain();
  CHECK(done.refused == 1 && side.ingest.quarantine() == Quarantine::kNone && side.ingest.counter(kSuspicious) == 1);
  CHECK(Has(side.Incidents(), IncidentKind::kStuck, 1));
  run(2, 6);
  side.Drain();
  CHECK(side.ingest.quarantine() == Quarantine::kStuck && Has(side.Incidents(), IncidentKind::kStuck, 2));
  side.ingest.Resume();
  run(3, 11);
  side.Drain();
  CHECK(side.ingest.quarantine() == Quarantine::kStuck && side.sink.kept.empty());
}

TEST("gaps and steps back are counted and told; nothing is lost by them") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  CHECK(Put(producer, 1, 0, 1));
  producer.SkipSequence(5);
  CHECK(Put(producer, 2, 0, 2, 3968, kFrameGap));
  producer.RepeatSequence(3);
  CHECK(Put(producer, 3, 0, 3) && Put(producer, 4, 0, 4));
  CHECK(side.Drain().records == 4);
  CHECK(side.ingest.counter(kGaps) == 1 && side.ingest.counter(kMissingFrames) == 5);
  CHECK(side.ingest.counter(kSequenceBack) == 2 && side.ingest.counter(kDeviceDropped) == 1);
  const auto told = side.Incidents();
  CHECK(told.size() == 3 && Has(told, IncidentKind::kGap, 5) && Has(told, IncidentKind::kDeviceDropped, 0));
  CHECK(memory.control()->resync.load() == 1);
}

TEST("test data and aborted blocks are never stored, and an aborted block stays so") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  CHECK(Put(producer, 1, 0, 1, 100, kFrameTest) && Put(producer, 2, 0, 2, 100, kFrameAborted) && Put(producer, 2, 4, 3, 100) && Put(producer, 3, 0, 4));
  const DrainOutcome done = side.Drain();
  CHECK(done.refused == 3 && done.records == 1);
  CHECK(side.ingest.counter(kTestFrames) == 1 && side.ingest.counter(kAbortedFrames) == 2);
  CHECK(side.ingest.counter(kRefusedBytes) == 300);
}

TEST("a device that restarts: what it left is drained, the new epoch adopted, resent names are repeats") {
  Memory memory(16);
  Side side(memory.view());
  {
    RingProducer first(memory.view(), 0, 1);
    CHECK(Put(first, 1, 0, 1) && Put(first, 1, 124, 2));
    const uint32_t ticket = side.Drain().ticket;
    side.ingest.Acknowledge(ticket);
    CHECK(first.Durable() == 2);
    CHECK(Put(first, 2, 0, 3));
  }
  RingProducer second(memory.view(), ScanRing(memory.view())->write, 2);
  CHECK(second.position() == 3 && second.Durable() == 0);
  CHECK(Put(second, 2, 0, 3) && Put(second, 2, 124, 4));
  const DrainOutcome done = side.Drain();
  CHECK(done.records == 2 && done.repeats == 1 && side.sink.kept.size() == 4);
  CHECK(Has(side.Incidents(), IncidentKind::kRestarted, 1) && side.ingest.epoch() == 2);
  side.ingest.Acknowledge(done.ticket);
  CHECK(second.Durable() == 2);
}

TEST("frames of an epoch that is not the ring's, or is over, are refused") {
  Memory memory(16);
  Side side(memory.view());
  RingProducer producer(memory.view(), 0, 3);
  CHECK(Put(producer, 1, 0, 1) && side.Drain().records == 1);
  for (const uint32_t epoch : {2u, 4u}) {
    Slot* slot = producer.Claim();
    FillPayload(epoch, slot->payload, 100);
    FrameHeader h = HeaderFor(5, epoch, 100);
    h.magic = kFrameMagic; h.version = 1; h.header_bytes = 64; h.sequence = producer.next_sequence(); h.epoch = epoch;
    h.crc = FrameCrc(h, slot->payload);
    std::memcpy(slot->header, &h, 64);
    producer.Publish();
    CHECK(side.Drain().refused == 1);
  }
  CHECK(side.ingest.counter(kBadEpoch) == 2 && side.ingest.epoch() == 3);
}

TEST("durable means acknowledged: in order, by ticket, and kept over a restart of the KME") {
  Memory memory(16);
  RingProducer producer(memory.view(), 0, 1);
  {
    Side side(memory.view());
    CHECK(Put(producer, 1, 0, 1));
    const uint32_t one = side.Drain().ticket;
    CHECK(Put(producer, 2, 0, 2));
    const uint32_t two = side.Drain().ticket;
    CHECK(two != one && producer.Durable() == 0);
    side.ingest.Acknowledge(one);
    CHECK(producer.Durable() == 1);
    CHECK(Put(producer, 3, 0, 3));
    CHECK(side.Drain().records == 1);  // drained, then this KME dies
    (void)two;
  }
  Side again(memory.view(), *ScanReadPlace(memory.view()));
  CHECK(again.ingest.ring().position() == 3);
  CHECK(Put(producer, 4, 0, 4));
  const DrainOutcome done = again.Drain();
  CHECK(done.records == 1 && producer.Durable() == 1);
  CHECK(Has(again.Incidents(), IncidentKind::kGap, 2));  // frames 2 and 3 were read but are not durable
  again.ingest.Acknowledge(done.ticket);
  CHECK(producer.Durable() == 4);
}

TEST("at most 64 batches wait for their acknowledgement") {
  Memory memory(128);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  uint32_t last = 0;
  for (uint32_t i = 0; i < Ingest::kTicketsMax; ++i) {
    CHECK(Put(producer, i, 0, i, 40));
    const DrainOutcome done = side.Drain();
    CHECK(done.records == 1);
    last = done.ticket;
  }
  CHECK(Put(producer, 1000, 0, 1000, 40));
  CHECK(side.Drain().records == 0);
  side.ingest.Acknowledge(last);
  CHECK(side.Drain().records == 1);
}

TEST("a frame that cannot be sealed stays in the ring and is not remembered") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  side.sink.refuse = true;
  CHECK(Put(producer, 1, 0, 1));
  CHECK(side.Drain().records == 0 && side.ingest.fault() == IngestFault::kSealFailed);
  Side again(memory.view(), *ScanReadPlace(memory.view()));
  CHECK(again.Drain().records == 1);
}

TEST("a turn word that lies stops the ring, and nothing is read") {
  for (const uint64_t lie : {uint64_t{2}, uint64_t{9}, UINT64_MAX, uint64_t{0x100000001}}) {
    Memory memory(8);
    RingProducer producer(memory.view(), 0, 1);
    Side side(memory.view());
    memory.view().slot(0)->turn.store(lie);
    CHECK(side.Drain().records == 0);
    CHECK(side.ingest.fault() == IngestFault::kBadTurn);
  }
}

TEST("half a ring doubles the batch; levels come from the turns, not from a lying head") {
  Memory memory(512);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  memory.control()->head.store(UINT64_MAX);
  for (uint32_t i = 0; i < 255; ++i) CHECK(Put(producer, i, 0, i, 40));
  CHECK(side.Drain().records == Ingest::kFramesPerDrainCalm);
  for (uint32_t i = 255; i < 384; ++i) CHECK(Put(producer, i, 0, i, 40));
  DrainOutcome done = side.Drain();
  CHECK(done.level == 2 && done.records == Ingest::kFramesPerDrain && done.more == false);
  for (uint32_t i = 0; i < 384; ++i) CHECK(Put(producer, 1000 + i, 0, 1000 + i, 40));
  CHECK(side.Drain().level == 3);
  for (uint32_t i = 0; i < 384; ++i) CHECK(Put(producer, 2000 + i, 0, 2000 + i, 40));
  CHECK(producer.Full() && side.Drain().level == 4);
}

TEST("a drain ends when its time is up, and says that there is more") {
  Memory memory(64);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view(), 0, nullptr, 0);
  for (uint32_t i = 0; i < 40; ++i) CHECK(Put(producer, i, 0, i, 40));
  DrainOutcome done = side.Drain();
  CHECK(done.records == 15 && done.more);
  side.Drain();
  done = side.Drain();
  CHECK(done.records == 10 && !done.more);
}

TEST("incidents are bounded, and what did not fit is counted") {
  Memory memory(512);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  for (uint32_t i = 0; i < 300; ++i) CHECK(Put(producer, i, 0, i, 40, kFrameTest));
  while (side.Drain().refused > 0) {}
  CHECK(side.ingest.incidents() == Ingest::kIncidentsMax && side.ingest.counter(kIncidentsLost) == 44);
  CHECK(side.Incidents().size() == Ingest::kIncidentsMax && side.ingest.incidents() == 0);
}

TEST_MAIN()
