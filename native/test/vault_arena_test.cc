// Locked memory, the arena's cells, and blocks in them.
#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "check.h"
#include "vault/arena.h"
#include "vault/block.h"
#include "vault/error.h"
#include "vault/handles.h"

using qkme::vault::Arena;
using qkme::vault::Block;
using qkme::vault::HandleKind;
using qkme::vault::HandleTable;
using qkme::vault::LockedRegion;

namespace {

bool AllZero(const uint8_t* bytes, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// Loads frame `index` with bytes that tell block offset and number.
void Load(Block& block, uint32_t index) {
  uint8_t* const cell = block.TakeFrame(index);
  for (uint32_t i = 0; i < block.frame_bytes(index); ++i) {
    cell[i] = static_cast<uint8_t>((block.frame_start(index) + i) * 7 + block.number() + 1);
  }
}

uint8_t Expected(const Block& block, uint32_t offset) { return static_cast<uint8_t>(offset * 7 + block.number() + 1); }

}  // namespace

TEST("a full arena evicts the cached cell that was used longest ago, wiped, and tells its holder") {
  Arena arena(4 * Arena::kCellBytes, true);
  int32_t holders[6] = {-1, -1, -1, -1, -1, -1};
  for (int i = 0; i < 4; ++i) {
    arena.Take(&holders[i]);
    std::memset(arena.Data(holders[i]), i + 1, Arena::kCellBytes);
  }
  arena.Touch(holders[0]);
  arena.Pin(holders[1]);
  const int32_t third = holders[2];
  arena.Take(&holders[4]);  // 2 is the oldest: 1 is pinned, 0 was touched
  CHECK(holders[2] == Arena::kNone && holders[4] == third);
  CHECK(AllZero(arena.Data(third), Arena::kCellBytes));
  CHECK(arena.Data(holders[0])[0] == 1 && arena.Data(holders[1])[0] == 2 && arena.Data(holders[3])[0] == 4);
  CHECK(arena.used() == 4 && arena.pinned() == 1);
}

TEST("an arena whose cells are all pinned refuses, and changes nothing") {
  Arena arena(2 * Arena::kCellBytes, true);
  int32_t a = -1, b = -1, c = -1;
  arena.Take(&a);
  arena.Pin(a);
  arena.Take(&b);
  arena.Pin(b);
  arena.Pin(b);
  THROWS(arena.Take(&c), "every cell of the key arena is in use");
  CHECK(c == -1);
  arena.Unpin(b);
  THROWS(arena.Take(&c), "every cell");
  arena.Unpin(b);
  arena.Take(&c);
  CHECK(b == -1 && c != -1);
}

TEST("release wipes and a wrong unpin or second release is found") {
  Arena arena(2 * Arena::kCellBytes, true);
  int32_t a = -1;
  arena.Take(&a);
  std::memset(arena.Data(a), 0xAA, Arena::kCellBytes);
  const int32_t cell = a;
  THROWS(arena.Unpin(cell), "invariant violated");
  arena.Release(cell);
  CHECK(a == -1 && AllZero(arena.Data(cell), Arena::kCellBytes) && arena.used() == 0);
  THROWS(arena.Release(cell), "invariant violated");
}

TEST("random takes, pins, unpins and releases agree with a model") {
  std::mt19937 random(7);
  constexpr int kHolders = 12;
  Arena arena(5 * Arena::kCellBytes, true);
  int32_t holders[kHolders];
  std::fill(holders, holders + kHolders, Arena::kNone);
  std::deque<int> cached;  // oldest first
  std::map<int, int> pinned;
  for (int step = 0; step < 20000; ++step) {
    const int h = static_cast<int>(random() % kHolders);
    const bool is_cached = std::find(cached.begin(), cached.end(), h) != cached.end();
    const bool present = is_cached || pinned.contains(h);
    CHECK(present == (holders[h] != Arena::kNone));
    switch (random() % 5) {
      case 0:
      case 1:
        if (present) break;
        if (cached.size() + pinned.size() == 5) {
          if (cached.empty()) {
            THROWS(arena.Take(&holders[h]), "every cell");
            break;
          }
          cached.pop_front();
        }
        arena.Take(&holders[h]);
        cached.push_back(h);
        break;
      case 2:
        if (!present) break;
        arena.Pin(holders[h]);
        if (is_cached) std::erase(cached, h);
        ++pinned[h];
        break;
      case 3:
        if (!pinned.contains(h)) break;
        arena.Unpin(holders[h]);
        if (--pinned[h] == 0) {
          pinned.erase(h);
          cached.push_back(h);
        }
        break;
      case 4:
        if (!present || random() % 4 != 0) break;
        arena.Release(holders[h]);
        std::erase(cached, h);
        pinned.erase(h);
        break;
    }
    CHECK(arena.used() == cached.size() + pinned.size() && arena.pinned() == pinned.size());
  }
}

TEST("block bytes are the frames one after the other, in one piece or many") {
  Arena arena(8 * Arena::kCellBytes, true);
  const uint32_t sizes[] = {100, 1, 3968, 57};
  Block block(&arena, 9, 0, sizes, 4);
  for (uint32_t i = 0; i < 4; ++i) Load(block, i);
  CHECK(block.total_bytes() == 4126 && block.usable_bytes() == 4078);
  std::mt19937 random(1);
  uint8_t out[4126], scratch[4126];
  for (int n = 0; n < 2000; ++n) {
    const uint32_t offset = random() % 4126;
    const uint32_t length = 1 + random() % (4126 - offset);
    block.Copy(offset, length, out);
    for (uint32_t i = 0; i < length; ++i) CHECK(out[i] == Expected(block, offset + i));
    CHECK(std::memcmp(block.View(offset, length, scratch), out, length) == 0);
  }
  block.WipeBytes(98, 10);
  block.Copy(0, 4126, out);
  CHECK(AllZero(out + 98, 10) && out[97] == Expected(block, 97) && out[108] == Expected(block, 108));
}

TEST("bytes get one purpose; overlaps by a single byte are refused and claim nothing") {
  Arena arena(2 * Arena::kCellBytes, true);
  const uint32_t sizes[] = {3968};
  Block block(&arena, 1, 0, sizes, 1);
  CHECK(block.Claim(100, 64));
  CHECK(!block.Claim(163, 1) && !block.Claim(90, 11) && !block.Claim(0, 3968));
  CHECK(block.Claim(90, 10) && block.Claim(164, 64));
  CHECK(block.ClaimRepeatable(1000, 16) && block.ClaimRepeatable(1000, 16));
  CHECK(!block.ClaimRepeatable(1000, 8) && !block.Claim(1015, 2) && !block.ClaimRepeatable(100, 64));
  std::vector<bool> model(3968);
  Block other(&arena, 2, 0, sizes, 1);
  std::mt19937 random(3);
  for (int n = 0; n < 3000; ++n) {
    const uint32_t offset = random() % 3968;
    const uint32_t length = std::min<uint32_t>(3968 - offset, random() % (n % 10 == 0 ? 200 : 5));
    const auto from = model.begin() + offset;
    const bool free = std::find(from, from + length, true) == from + length;
    CHECK(other.Claim(offset, length) == free);
    if (free) std::fill(from, from + length, true);
  }
}

TEST("impossible shapes, and spans that touch the confirmation bytes, are refused") {
  Arena arena(2 * Arena::kCellBytes, true);
  const uint32_t sizes[17] = {3968, 3968, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint32_t zero[1] = {0}, large[1] = {3969}, small[1] = {48};
  THROWS(Block(&arena, 1, 0, sizes, 17), "1 to 16 frames");
  THROWS(Block(&arena, 1, 0, sizes, 0), "1 to 16 frames");
  THROWS(Block(&arena, 1, 0, zero, 1), "1 to 3968 bytes");
  THROWS(Block(&arena, 1, 0, large, 1), "1 to 3968 bytes");
  Block block(&arena, 1, 0, sizes, 1);
  CHECK(block.Spendable(0, 3920) && !block.Spendable(0, 3921) && !block.Spendable(3920, 1) && block.Spendable(3920, 0));
  CHECK(!block.Spendable(0xFFFFFFF8u, 16) && !block.Spendable(8, 0xFFFFFFFFu));
  Block tiny(&arena, 1, 0, small, 1);
  CHECK(tiny.usable_bytes() == 0 && !tiny.Spendable(0, 1));
}

TEST("a dropped block leaves nothing in the arena") {
  Arena arena(4 * Arena::kCellBytes, true);
  const uint32_t sizes[] = {3968, 3968};
  {
    Block block(&arena, 1, 0, sizes, 2);
    Load(block, 0);
    Load(block, 1);
    block.Pin(1);
    CHECK(arena.used() == 2 && arena.pinned() == 1);
  }
  CHECK(arena.used() == 0 && arena.pinned() == 0);
  for (int32_t cell = 0; cell < 4; ++cell) CHECK(AllZero(arena.Data(cell), Arena::kCellBytes));
}

TEST("handles of another kind, stale handles and made-up handles are found") {
  HandleTable<int, HandleKind::kKey> keys(3);
  HandleTable<int, HandleKind::kBlock> blocks(3);
  const uint32_t key = keys.Add(std::make_unique<int>(5));
  const uint32_t block = blocks.Add(std::make_unique<int>(6));
  CHECK(key != 0 && *keys.Find(key) == 5 && *blocks.Find(block) == 6);
  CHECK(keys.Find(block) == nullptr && blocks.Find(key) == nullptr && keys.Find(0) == nullptr && keys.Find(0xFFFFFFFFu) == nullptr);
  keys.Remove(key);
  const uint32_t b = keys.Add(std::make_unique<int>(1)), c = keys.Add(std::make_unique<int>(2));
  const uint32_t again = keys.Add(std::make_unique<int>(3));
  CHECK(keys.Find(key) == nullptr && again != key && (again & 0xFFFF) == (key & 0xFFFF));
  THROWS(keys.Add(std::make_unique<int>(4)), "too many open handles");
  keys.Clear();
  CHECK(keys.used() == 0 && keys.Find(b) == nullptr && keys.Find(c) == nullptr && keys.Find(again) == nullptr);
}

TEST("memory that cannot be locked is refused unless that is allowed") {
  constexpr size_t kHuge = size_t{1} << 40;  // more than any machine that runs this
  THROWS(LockedRegion(kHuge * 1024, true), "no memory for the vault");
  const LockedRegion region(1, true);
  CHECK(region.bytes() == 4096 && AllZero(region.data(), 4096));
}

TEST_MAIN()
