// The protocol of the ring itself: order, fullness, sleep, places found again. Two threads under ThreadSanitizer.
#include "ring.h"

#include <poll.h>

#include <thread>

#include "check.h"
#include "handover.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::test;

TEST("a full ring takes nothing, and an unread slot is never overwritten") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  for (uint32_t i = 0; i < 8; ++i) CHECK(Put(producer, i, 0, i));
  CHECK(producer.Full() && !Put(producer, 8, 0, 8) && producer.Claim() == nullptr);
  CHECK(side.Drain().records == 8);
  for (uint32_t i = 0; i < 8; ++i) CHECK(side.sink.kept[i].header.device_block[0] == i);
  CHECK(Put(producer, 8, 0, 8) && side.Drain().records == 1);
}

TEST("two threads: every frame once, in order, whole, with both sides sleeping and waking") {
  Memory memory(16);
  constexpr uint32_t kFrames = 20'000;
  const OwnedFd frames = MakeEventFd(), space = MakeEventFd();
  std::atomic<uint32_t> sleeps{0};
  std::atomic<bool> lost{false};
  const auto sleep_on = [&](const OwnedFd& bell) {
    sleeps.fetch_add(1);
    pollfd watched = {bell.get(), POLLIN, 0};
    // Only a lost wake-up lasts this long.
    if (poll(&watched, 1, 20'000) != 1) lost.store(true);
    ClearBell(bell.get());
  };
  std::thread device([&] {
    RingProducer producer(memory.view(), 0, 1);
    for (uint32_t i = 0; i < kFrames && !lost.load();) {
      if (Put(producer, i, 0, i, 64 + i % 200)) {
        i += 1;
        if (i % 3 != 0) continue;  // a bell for each third frame, and when the ring is full
      }
      if (producer.FinishBatch()) RingBell(frames.get());
      if (producer.Full() && producer.TrySleep()) sleep_on(space);
    }
    if (producer.FinishBatch()) RingBell(frames.get());
  });
  Side side(memory.view());
  uint32_t next = 0;
  bool good = true;
  while (next < kFrames && good && !lost.load()) {
    const DrainOutcome done = side.Drain();
    if (done.wake_producer) RingBell(space.get());
    side.ingest.Acknowledge(done.ticket);
    for (const auto& kept : side.sink.kept) {
      std::vector<uint8_t> want(64 + next % 200);
      FillPayload(next, want.data(), want.size());
      good = good && kept.payload == want && kept.header.sequence == next + 1;
      next += 1;
    }
    side.sink.kept.clear();
    if (!done.more && next < kFrames) sleep_on(frames);
  }
  device.join();
  CHECK(!lost.load());
  CHECK(good && next == kFrames);
  CHECK(sleeps.load() > 0);
}

TEST("a consumer that announced sleep is told of the next frame, once") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  CHECK(!side.Drain().more);
  CHECK(memory.control()->consumer_sleeping.load() == 1);
  CHECK(Put(producer, 1, 0, 1) && producer.FinishBatch());
  CHECK(Put(producer, 2, 0, 2) && !producer.FinishBatch());
  // A frame that comes between the last look and the sleep is seen: it does not sleep.
  CHECK(!side.ingest.ring().TrySleep());
}

TEST("both places are found again from the turns alone, at every state of a ring") {
  Memory memory(8);
  RingProducer producer(memory.view(), 0, 1);
  Side side(memory.view());
  for (uint32_t step = 0; step < 200; ++step) {
    memory.control()->head.store(0xDEAD);
    memory.control()->tail.store(~uint64_t{0});
    const auto places = ScanRing(memory.view());
    CHECK(places && places->write == producer.position() && places->read == side.ingest.ring().position());
    CHECK(*ScanReadPlace(memory.view()) == side.ingest.ring().position());
    if (step % 5 < 3) Put(producer, step, 0, step, 40);
    else if (side.ingest.ring().Next() == RingConsumer::Look::kReady) side.ingest.ring().Release();
  }
}

TEST("damaged turns are found out") {
  for (const uint64_t lie : {uint64_t{0}, uint64_t{4}, uint64_t{3 + 16}, UINT64_MAX - 4}) {
    Memory memory(8);
    RingProducer producer(memory.view(), 0, 1);
    for (uint32_t i = 0; i < 6; ++i) Put(producer, i, 0, i, 40);
    memory.view().slot(3)->turn.store(lie);
    if (lie == 4) continue;  // 3 + 1: what it is already
    CHECK(!ScanRing(memory.view()));
  }
}

TEST("a header that lies is refused, whatever the field") {
  struct Lie { size_t at; uint32_t value; const char* part; };
  const Lie lies[] = {{0x00C, 0, "slots"}, {0x00C, 7, "slots"}, {0x00C, 1u << 30, "slots"}, {0x00C, 32, "shorter"},
                      {0x010, 0, "stride"}, {0x010, 100, "stride"}, {0x010, 0xFFFFFFC0, "stride"}, {0x010, 128, "stride"},
                      {0x014, 0, "offset"}, {0x014, 0xFFFFFFC0, "offset"}, {0x014, 4100, "offset"}, {0x020, 5, "length"},
                      {0x008, 2, "version"}, {0x000, 1, "magic"}};
  for (const Lie& lie : lies) {
    Memory memory(16);
    std::memcpy(memory.base + lie.at, &lie.value, 4);
    RingGeometry found;
    // As it stands the checksum finds it; a liar sums up his lie.
    CHECK(ReadRingHeader(memory.base, memory.geometry.RegionBytes(), &found) != nullptr);
    uint8_t copy[44];
    std::memcpy(copy, memory.base, 44);
    std::memset(copy + 0x18, 0, 8);
    memory.control()->crc = Crc32c(copy, 44);
    const char* fault = ReadRingHeader(memory.base, memory.geometry.RegionBytes(), &found);
    CHECK(fault != nullptr && std::strstr(fault, lie.part) != nullptr);
  }
  Memory memory(16);
  RingGeometry found;
  memory.control()->epoch.store(99);  // the one field that may change
  CHECK(ReadRingHeader(memory.base, memory.geometry.RegionBytes(), &found) == nullptr && found.nslots == 16);
  CHECK(ReadRingHeader(memory.base, 4096, &found) != nullptr);
}

TEST_MAIN()
