// A thousand producers, each killed with SIGKILL at a random moment: no torn frame is ever accepted, and every next
// producer finds its place.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "check.h"
#include "region.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::test;

#if defined(__SANITIZE_THREAD__)
constexpr int kKills = 50;  // ThreadSanitizer makes fork slow
#else
constexpr int kKills = 1'000;
#endif

#if defined(__SANITIZE_ADDRESS__)
// Memory that was freed is kept for a while: usually 256 MiB, all of whose pages each fork copies. 4 MiB are a thousand payloads.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=4"; }
#endif

namespace {
// Never returns. Names are (epoch, frame), so no name is used twice.
[[noreturn]] void Produce(int fd, uint64_t epoch) {
  const auto region = Region::AttachFd(fd, "child");
  const auto places = ScanRing(region->view());
  if (!places) _exit(3);
  RingProducer producer(region->view(), places->write, epoch);
  for (uint32_t i = 0;;) {
    if (Put(producer, epoch, i, epoch << 20 | i, 3968)) i += 1;
    producer.FinishBatch();
  }
}

bool Whole(const KeepingSink::Kept& kept) {
  std::vector<uint8_t> want(3968);
  FillPayload(uint64_t{kept.header.device_epoch} << 20 | kept.header.offset, want.data(), want.size());
  return kept.payload == want;
}
}  // namespace

TEST("SIGKILL of the producer: no torn frame accepted") {
  const auto region = Region::CreateMemfd({.nslots = 64, .stride = 4096, .link = kLink});
  Side side(region->view());
  std::mt19937 chance(11);
  uint64_t frames = 0, restarts = 0;
  for (int round = 1; round <= kKills; ++round) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) Produce(dup(region->fd()), uint64_t(round));
    // Wait for life, then kill it a moment later.
    const uint64_t until = MonotonicNs() + 20'000'000'000;
    const uint32_t first = 1 + chance() % 200;
    uint64_t seen = 0;
    while (seen < first && MonotonicNs() < until) {
      const DrainOutcome done = side.Drain();
      side.ingest.Acknowledge(done.ticket);
      seen += done.records;
    }
    for (uint32_t spin = chance() % 20'000; spin > 0; --spin) asm volatile("");
    kill(child, SIGKILL);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    for (DrainOutcome done = side.Drain(); done.records > 0; done = side.Drain()) side.ingest.Acknowledge(done.ticket);
    CHECK(seen >= first);
    for (const auto& kept : side.sink.kept) {
      CHECK(Whole(kept));
      CHECK(kept.header.device_epoch == uint32_t(round));
    }
    frames += side.sink.kept.size();
    side.sink.kept.clear();
    restarts = side.ingest.counter(kRestarts);
    side.Incidents();
    CHECK(side.ingest.quarantine() == Quarantine::kNone && side.ingest.fault() == IngestFault::kNone);
  }
  CHECK(restarts == uint64_t(kKills) - 1);
  CHECK(side.ingest.counter(kRefusedFrames) == 0 && side.ingest.counter(kGaps) == 0);
  std::printf("  %d kills, %llu frames\n", kKills, static_cast<unsigned long long>(frames));
}

TEST_MAIN()
