// The lane's cursor: edges by hand, and random walks against a model that thinks in single bytes.
#include <memory>
#include <random>
#include <set>

#include "check.h"
#include "vault/error.h"
#include "vault/lane.h"

using qkme::vault::Arena;
using qkme::vault::Block;
using qkme::vault::Lane;
using qkme::vault::Run;

namespace {

constexpr uint32_t kConfirm = Block::kConfirmBytes;

std::unique_ptr<Block> MakeBlock(Arena* arena, uint32_t number, std::vector<uint32_t> sizes) {
  auto block = std::make_unique<Block>(arena, number, 1, sizes.data(), sizes.size());
  for (uint32_t i = 0; i < sizes.size(); ++i) std::memset(block->TakeFrame(i), static_cast<int>(number), sizes[i]);
  return block;
}

struct Planned {
  std::vector<Run> runs;
  uint32_t skipped = 0;
};

Planned CutNow(Lane& lane, uint32_t count, uint32_t size) {
  Run runs[64];
  Planned result;
  const uint32_t n = lane.Plan(count, size, runs, 64, &result.skipped);
  result.runs.assign(runs, runs + n);
  if (n > 0) lane.Advance(count, size);
  return result;
}

bool ArenaHas(const Arena& arena, uint8_t value) {
  for (int32_t cell = 0; cell < static_cast<int32_t>(arena.total()); ++cell) {
    for (size_t i = 0; i < Arena::kCellBytes; ++i) {
      if (arena.Data(cell)[i] == value) return true;
    }
  }
  return false;
}

}  // namespace

TEST("keys follow each other at multiples of 8 and end exactly at the end") {
  Arena arena(4 * Arena::kCellBytes, true);
  auto block = MakeBlock(&arena, 1, {64 + kConfirm});
  Lane lane;
  lane.Push(block.get(), 0, 64, true);
  const Planned two = CutNow(lane, 2, 12);  // 0..12, 16..28
  CHECK(two.runs.size() == 1 && two.runs[0].offset == 0 && two.runs[0].count == 2 && two.skipped == 0);
  CHECK(lane.Left() == 32);
  const Planned rest = CutNow(lane, 1, 32);
  CHECK(rest.runs[0].offset == 32 && lane.Left() == 0);
  CHECK(CutNow(lane, 1, 1).runs.empty());
  CHECK(lane.Trim() == 1 && lane.Trim() == 0);
}

TEST("too little moves nothing") {
  Arena arena(4 * Arena::kCellBytes, true);
  auto block = MakeBlock(&arena, 1, {200});
  Lane lane;
  lane.Push(block.get(), 0, 96, false);
  CHECK(!lane.Fits(4, 32) && CutNow(lane, 4, 32).runs.empty() && lane.Left() == 96);
  CHECK(!lane.Fits(1, 97) && lane.Fits(1, 96));
  uint64_t number = 0;
  uint32_t offset = 7;
  CHECK(lane.Cursor(&number, &offset) && number == 1 && offset == 0);
}

TEST("a key that does not fit at a block's end goes to the next block only behind the last lease") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto first = MakeBlock(&arena, 1, {40 + kConfirm});
  auto second = MakeBlock(&arena, 2, {80 + kConfirm});
  Lane lane;
  lane.Push(first.get(), 0, 32, false);
  CHECK(CutNow(lane, 1, 24).runs[0].offset == 0);
  CHECK(CutNow(lane, 1, 16).runs.empty());  // 8 left, but more of this block may come
  lane.Push(first.get(), 32, 40, true);
  CHECK(CutNow(lane, 1, 24).runs.empty() && lane.Left() == 16);
  lane.Push(second.get(), 0, 80, true);
  const Planned cut = CutNow(lane, 2, 24);
  CHECK(cut.runs.size() == 1 && cut.runs[0].block == second.get() && cut.runs[0].offset == 0 && cut.skipped == 16);
  CHECK(lane.Left() == 32 && lane.Trim() == 1);
}

TEST("a request may straddle blocks, a key does not") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto first = MakeBlock(&arena, 1, {40 + kConfirm});
  auto second = MakeBlock(&arena, 2, {80 + kConfirm});
  Lane lane;
  lane.Push(first.get(), 0, 40, true);
  lane.Push(second.get(), 0, 80, true);
  const Planned cut = CutNow(lane, 5, 16);
  CHECK(cut.runs.size() == 2 && cut.skipped == 8);
  CHECK(cut.runs[0].count == 2 && cut.runs[1].count == 3 && cut.runs[1].offset == 0);
}

TEST("a push to another block ends the stretch before it; an empty last push does too") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto first = MakeBlock(&arena, 1, {400});
  auto second = MakeBlock(&arena, 2, {400});
  Lane lane;
  lane.Push(first.get(), 0, 8, false);
  lane.Push(second.get(), 0, 64, false);
  CHECK(CutNow(lane, 1, 32).runs[0].block == second.get());
  CHECK(CutNow(lane, 1, 40).runs.empty());
  lane.Push(second.get(), 64, 64, true);
  CHECK(CutNow(lane, 1, 40).runs.empty() && lane.Left() == 32);
  THROWS(lane.Push(second.get(), 64, 64, true), "empty lease");
}

TEST("leases are checked: alignment, bounds, order, reuse, frames not loaded") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto block = MakeBlock(&arena, 1, {100, 100});
  Lane lane;
  THROWS(lane.Push(block.get(), 4, 12, false), "multiples of 8");
  THROWS(lane.Push(block.get(), 0, 12, false), "multiples of 8");
  THROWS(lane.Push(block.get(), 0, 153, true), "before the confirmation");
  THROWS(lane.Push(block.get(), 16, 8, false), "before the confirmation");
  lane.Push(block.get(), 0, 64, false);
  THROWS(lane.Push(block.get(), 56, 64, false), "not used before");
  Lane other;
  THROWS(other.Push(block.get(), 0, 8, false), "not used before");
  const uint32_t sizes[] = {100, 100};
  Block empty(&arena, 2, 1, sizes, 2);
  THROWS(other.Push(&empty, 0, 8, false), "are loaded");
  CHECK(block->leases == 1 && empty.leases == 0);
}

TEST("frames are wiped as soon as the cursor has passed them, unless somebody else pins them") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto block = MakeBlock(&arena, 7, {64, 64, 64, 64});
  Lane lane;
  lane.Push(block.get(), 0, 128, false);
  CHECK(arena.pinned() == 2);
  block->Pin(1);
  CutNow(lane, 1, 60);
  CHECK(!block->loaded(0) && block->loaded(1));
  CutNow(lane, 1, 64);
  CHECK(block->loaded(1) && arena.pinned() == 1);
  block->Unpin(1, true);
  CHECK(!block->loaded(1));
  lane.Push(block.get(), 128, 208, true);  // ends inside frame 3, before the confirmation bytes
  CutNow(lane, 1, 80);
  CHECK(!block->loaded(2) && !block->loaded(3) && arena.used() == 0 && !ArenaHas(arena, 7));
  CHECK(lane.Trim() == 1 && block->leases == 0);
}

TEST("trimming an exhausted lease keeps the frame for the next lease; dropping the lane wipes") {
  Arena arena(8 * Arena::kCellBytes, true);
  auto block = MakeBlock(&arena, 7, {64, 64, 64});
  {
    Lane lane;
    lane.Push(block.get(), 0, 32, false);
    CutNow(lane, 1, 32);
    CHECK(lane.Trim() == 1 && block->loaded(0) && arena.pinned() == 0);
    uint64_t number = 0;
    uint32_t offset = 0;
    CHECK(!lane.Cursor(&number, &offset));
    lane.Push(block.get(), 32, 96, false);
    CHECK(arena.pinned() == 2);
  }
  CHECK(!block->loaded(0) && !block->loaded(1) && block->loaded(2) && block->leases == 0);
}

TEST("random leases and cuts: no byte twice, nothing outside a lease, all bytes accounted") {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    Arena arena(256 * Arena::kCellBytes, true);
    std::vector<std::unique_ptr<Block>> blocks;
    Lane lane;
    std::set<std::pair<uint32_t, uint32_t>> used;
    uint64_t leased = 0, consumed = 0;
    uint32_t at = 0, end = 0;
    for (int step = 0; step < 400; ++step) {
      if (random() % 3 == 0) {
        if (at >= end) {
          std::vector<uint32_t> sizes(1 + random() % 4);
          for (uint32_t& size : sizes) size = 60 + random() % 300;
          blocks.push_back(MakeBlock(&arena, static_cast<uint32_t>(blocks.size()) + 1, sizes));
          at = 0;
          end = blocks.back()->usable_bytes();
        }
        const uint32_t want = 8 + random() % 40 * 8;
        const bool last = at + want >= end;
        const uint32_t to = last ? end : at + want;
        lane.Push(blocks.back().get(), at, to, last);
        leased += to - at;
        at = to;
        continue;
      }
      const uint32_t count = 1 + random() % 6, size = 1 + random() % 70;
      const uint64_t before = lane.Left();
      const bool fits = lane.Fits(count, size);
      const Planned cut = CutNow(lane, count, size);
      CHECK(fits == !cut.runs.empty());
      if (!fits) CHECK(lane.Left() == before);
      uint32_t cuts = 0;
      for (const Run& run : cut.runs) {
        for (uint32_t i = 0; i < run.count; ++i, ++cuts) {
          const uint32_t start = run.offset + i * qkme::vault::RoundUpToPlace(size);
          CHECK(start % 8 == 0 && start + size <= run.block->usable_bytes());
          for (uint32_t b = start; b < start + size; ++b) CHECK(used.insert({run.block->number(), b}).second);
        }
      }
      CHECK(cuts == (fits ? count : 0));
      consumed += before - lane.Left();
      if (random() % 4 == 0) lane.Trim();
      CHECK(leased == consumed + lane.Left() && used.size() + cut.skipped <= consumed);
    }
  }
}

TEST_MAIN()
