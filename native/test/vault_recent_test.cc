// Frames that stay open for a moment: which, how many, how long.
#include <memory>

#include "check.h"
#include "vault/arena.h"
#include "vault/block.h"
#include "vault/recent_frames.h"

using qkme::RecordHeader;
using qkme::vault::Arena;
using qkme::vault::Block;
using qkme::vault::RecentFrames;

namespace {

constexpr uint32_t kBytes = 64;
constexpr uint64_t kStart = 5'000'000'000;

RecordHeader Header(uint32_t offset) {
  RecordHeader header = {};
  header.link = 0x01020304;
  header.offset = offset;
  for (uint32_t i = 0; i < sizeof header.device_block; ++i) header.device_block[i] = static_cast<uint8_t>(16 + i);
  return header;
}

std::vector<uint8_t> NameOf(const RecordHeader& header, uint32_t length) {
  std::vector<uint8_t> name(RecentFrames::kNameBytes);
  std::memcpy(name.data(), &header.link, 4);
  std::memcpy(name.data() + 4, &header.offset, 4);
  std::memcpy(name.data() + 8, &length, 4);
  std::memcpy(name.data() + 12, header.device_block, 16);
  return name;
}

struct Fixture {
  explicit Fixture(uint32_t cells) : arena(cells * Arena::kCellBytes, true), recent(&arena) {}

  void Keep(uint32_t offset, uint64_t now_ns = kStart) {
    const std::vector<uint8_t> payload(kBytes, static_cast<uint8_t>(offset + 1));
    recent.Keep(Header(offset), payload.data(), payload.size(), now_ns);
  }

  // Whether it was there, with its own bytes; it is gone then.
  bool Take(const std::vector<uint8_t>& name, uint32_t bytes = kBytes) {
    Block block(&arena, 1, 0, &bytes, 1);
    recent.Take(name.data(), &block, 0);
    if (!block.loaded(0)) return false;
    uint32_t offset;
    std::memcpy(&offset, name.data() + 4, 4);
    bool same = true;
    block.ForEachPiece(0, bytes, [&](const uint8_t* data, uint32_t length) {
      for (uint32_t i = 0; i < length; ++i) same = same && data[i] == static_cast<uint8_t>(offset + 1);
    });
    return same;
  }
  bool Take(uint32_t offset) { return Take(NameOf(Header(offset), kBytes)); }

  Arena arena;
  RecentFrames recent;
};

}  // namespace

TEST("a name is all of its bytes") {
  Fixture f(16);
  f.Keep(7);
  const std::vector<uint8_t> name = NameOf(Header(7), kBytes);
  for (size_t i = 0; i < name.size(); ++i) {
    std::vector<uint8_t> other = name;
    other[i] ^= 0x80;
    CHECK(!f.Take(other));
  }
  CHECK(!f.Take(name, kBytes + 8));  // the block has another length in mind
  CHECK(!f.Take(NameOf(Header(7), kBytes + 8), kBytes + 8));
  CHECK(f.arena.used() == 1);
  CHECK(f.Take(name));
  CHECK(!f.Take(name) && f.arena.used() == 0);
}

TEST("a quarter of the arena and not one cell more, the newest; an arena of three cells keeps none") {
  for (const uint32_t cells : {3u, 4u, 7u, 8u, 32u}) {
    Fixture f(cells);
    const uint32_t bound = cells / 4;
    for (uint32_t n = 0; n < bound + 1; ++n) {
      CHECK(f.arena.used() == n);
      f.Keep(n);
    }
    CHECK(f.arena.used() == bound);
    CHECK(!f.Take(0));
    for (uint32_t n = 1; n <= bound; ++n) CHECK(f.Take(n));
  }
}

TEST("however large the arena: 256, and not 257") {
  Fixture f(4 * RecentFrames::kFramesMax + 400);
  for (uint32_t n = 0; n < RecentFrames::kFramesMax; ++n) f.Keep(n);
  CHECK(f.arena.used() == RecentFrames::kFramesMax);
  f.Keep(RecentFrames::kFramesMax);
  CHECK(f.arena.used() == RecentFrames::kFramesMax && !f.Take(0u) && f.Take(1) && f.Take(RecentFrames::kFramesMax));
}

TEST("kept for a second, and not a nanosecond longer; wiped then") {
  Fixture f(16);
  f.Keep(1);
  f.Keep(2, kStart + 1);
  f.recent.Sweep(kStart + RecentFrames::kKeptNs);
  CHECK(f.arena.used() == 2);
  const uint8_t* const cell = f.arena.Data(0);
  uint8_t before = 0, after = 0;
  for (size_t i = 0; i < Arena::kCellBytes; ++i) before |= cell[i];
  f.recent.Sweep(kStart + RecentFrames::kKeptNs + 1);
  CHECK(f.arena.used() == 1 && !f.Take(1));
  for (size_t i = 0; i < Arena::kCellBytes; ++i) after |= cell[i];
  CHECK((before == 2 && after == 0) || f.arena.Data(1)[0] == 0);  // whichever of the cells was given first
  CHECK(f.Take(2));
}

TEST("an arena whose cells are all pinned: nothing is kept, and nothing fails") {
  Fixture f(8);
  std::vector<int32_t> pinned(8, Arena::kNone);
  f.Keep(1);
  for (int32_t& cell : pinned) {
    f.arena.Take(&cell);
    f.arena.Pin(cell);
  }
  CHECK(!f.Take(1));  // evicted for the last of them
  f.Keep(2);
  CHECK(!f.Take(2));
  f.arena.Release(pinned[0]);
  f.Keep(3);
  CHECK(f.Take(3));
  for (size_t i = 1; i < pinned.size(); ++i) f.arena.Release(pinned[i]);
}

TEST("a block gives a frame, pinned or not; it is kept and bounded like any other, and another block finds it") {
  Fixture f(16);
  const uint32_t bytes[2] = {kBytes, kBytes - 8};
  Block block(&f.arena, 1, 0, bytes, 2);
  for (uint32_t i = 0; i < 2; ++i) std::memset(block.TakeFrame(i), static_cast<int>(i + 10), bytes[i]);
  block.Pin(0);
  block.Pin(0);
  f.recent.Adopt(Header(9), &block, 0, kStart);
  f.recent.Adopt(Header(8), &block, 1, kStart);
  CHECK(!block.loaded(0) && !block.loaded(1) && f.arena.used() == 2 && f.arena.pinned() == 0);
  THROWS(f.recent.Adopt(Header(7), &block, 0, kStart), "invariant violated");
  CHECK(f.Take(9));
  f.recent.Sweep(kStart + RecentFrames::kKeptNs + 1);
  CHECK(f.arena.used() == 0);
  for (uint32_t n = 0; n < 5; ++n) {
    const uint32_t one = kBytes;
    Block giver(&f.arena, 1, 0, &one, 1);
    std::memset(giver.TakeFrame(0), static_cast<int>(n + 1), kBytes);
    f.recent.Adopt(Header(n), &giver, 0, kStart);
  }
  CHECK(f.arena.used() == 4 && !f.Take(0u) && f.Take(1) && f.Take(4));
}

TEST("a block in a lane gives no frame, and an arena that keeps none leaves it where it is") {
  Fixture f(3);
  const uint32_t bytes = kBytes;
  Block block(&f.arena, 1, 0, &bytes, 1);
  block.TakeFrame(0);
  f.recent.Adopt(Header(1), &block, 0, kStart);
  CHECK(block.loaded(0));
  Fixture g(16);
  Block leased(&g.arena, 1, 0, &bytes, 1);
  leased.TakeFrame(0);
  leased.leases = 1;
  THROWS(g.recent.Adopt(Header(1), &leased, 0, kStart), "invariant violated");
  leased.leases = 0;
}

TEST("a beat sweeps those of every vault, and one that is gone is not looked at") {
  Fixture f(8);
  auto other = std::make_unique<Fixture>(8);
  f.Keep(1);
  other->Keep(2);
  RecentFrames::SweepAll(kStart + RecentFrames::kKeptNs + 1);
  CHECK(f.arena.used() == 0 && other->arena.used() == 0);
  f.Keep(3);
  other->Keep(4);
  other.reset();
  RecentFrames::ClearAll();
  CHECK(f.arena.used() == 0);
}

TEST_MAIN()
