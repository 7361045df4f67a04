// What stays in the vault's memory, seen from inside.
#include <algorithm>
#include <random>

#include "check.h"
#include "vault/error.h"
#include "vault/sealer.h"
#include "vault/vault.h"

namespace qkme::vault {
/// The tests' only way into a vault.
struct VaultProbe {
  static bool Holds(const Vault& vault, const uint8_t* bytes, size_t length) {
    for (const auto* region : {&vault.scratch_}) {
      if (std::search(region->data(), region->data() + region->bytes(), bytes, bytes + length) != region->data() + region->bytes()) return true;
    }
    const uint8_t* const begin = vault.arena_.Data(0);
    const uint8_t* const end = begin + vault.arena_.bytes();
    return std::search(begin, end, bytes, bytes + length) != end;
  }
  static bool Zero(const Vault& vault) {
    const auto zero = [](const uint8_t* at, size_t n) { return std::all_of(at, at + n, [](uint8_t b) { return b == 0; }); };
    return zero(vault.arena_.Data(0), vault.arena_.bytes()) && zero(vault.scratch_.data(), vault.scratch_.bytes()) &&
           zero(vault.keys_.region_.data(), vault.keys_.region_.bytes());
  }
};
}  // namespace qkme::vault

using namespace qkme::vault;
using qkme::kFrameBytesMax;
using qkme::RecordHeader;
using qkme::SealedBytes;

namespace {

struct Fixture {
  Vault vault{{64 * Arena::kCellBytes, true, {}}};
  uint32_t key = vault.NewKey();
  uint32_t epoch = vault.NewKey();
  uint32_t sealer = vault.CreateSealer(key, 1);
  std::vector<uint8_t> plain;
  uint32_t block = 0;

  // A block of `frames` frames of `bytes` known bytes each, loaded.
  explicit Fixture(uint32_t frames, uint32_t bytes = 256) {
    std::vector<uint32_t> sizes(frames, bytes);
    block = vault.CreateBlock(5, epoch, sizes);
    std::mt19937 random(11);
    for (uint32_t i = 0; i < frames * bytes; ++i) plain.push_back(static_cast<uint8_t>(random()));
    std::vector<uint8_t> record(SealedBytes(bytes));
    for (uint32_t i = 0; i < frames; ++i) {
      if (!SealRecord(sealer, RecordHeader{}, plain.data() + i * bytes, bytes, record.data())) throw std::runtime_error("not sealed");
      vault.LoadFrame(block, i, key, record);
    }
  }
  bool Holds(uint32_t offset, uint32_t length) { return VaultProbe::Holds(vault, plain.data() + offset, length); }
};

}  // namespace

TEST("cut keys leave the arena with their frame, and gathered ones leave no copy") {
  Fixture f(3);
  const uint32_t lane = f.vault.CreateLane();
  f.vault.LanePush(lane, f.block, 0, 720, true);
  CHECK(f.Holds(0, 32) && f.Holds(240, 16) && f.Holds(256, 24));
  std::vector<uint8_t> out(4096);
  uint32_t taken[Vault::kTakenNumbers];
  CHECK(f.vault.Cut(lane, 6, 40, 0, {"", ""}, out, taken) > 0);  // 0..240
  CHECK(f.vault.Cut(lane, 1, 40, 0, {"", ""}, out, taken) > 0);  // 240..280 lies in two frames
  CHECK(taken[0] == 5 && taken[1] == 0 && taken[2] == 30 && taken[3] == 0);
  CHECK(!f.Holds(0, 16) && !f.Holds(240, 8) && !f.Holds(240, 40) && f.Holds(264, 16));
  CHECK(f.vault.Cut(lane, 11, 40, 0, {"", ""}, out, taken) > 0);
  CHECK(f.vault.GetLane(lane).Left() == 0 && f.vault.Stats().cells_used == 0);
}

TEST("a used pad is gone from the arena, its neighbours are not") {
  Fixture f(2);
  const uint32_t hash = f.vault.TakeHashKey(f.block, 0);
  const std::vector<uint8_t> data(100, 1);
  std::vector<uint8_t> tag(16);
  f.vault.Tag(hash, f.block, 248, data, tag);  // in two frames
  CHECK(!f.Holds(248, 8) && !f.Holds(256, 8) && f.Holds(232, 16) && f.Holds(264, 16));
  THROWS(f.vault.Tag(hash, f.block, 260, data, tag), "a pad is used once");
  CHECK(!f.vault.VerifyTag(hash, f.block, 248, data, tag));
  CHECK(!f.vault.VerifyTag(hash, f.block, 512 - 48 - 8, data, tag));  // reaches into the confirmation bytes
}

TEST("a confirmation leaves no copy of its keys") {
  Fixture f(2);
  uint8_t tag[16];
  const uint32_t hash = f.vault.TakeHashKey(f.block, 0);
  f.vault.ConfirmTag(f.block, 1, f.plain, {}, tag);
  f.vault.DropKey(hash);
  f.vault.DropBlock(f.block);
  CHECK(!f.Holds(464, 16) && !f.Holds(480, 16) && !f.Holds(496, 16) && !f.Holds(0, 16));
}

TEST("relay pads are changed in one step, once, and leave no copy") {
  Fixture f(4);
  const uint32_t sizes[] = {256};
  const uint32_t other = f.vault.CreateBlock(6, 0, sizes);
  std::vector<uint8_t> record(SealedBytes(256));
  CHECK(SealRecord(f.sealer, RecordHeader{}, f.plain.data() + 512, 256, record.data()));
  f.vault.LoadFrame(other, 0, f.key, record);
  const uint32_t lane = f.vault.CreateLane();
  f.vault.LanePush(lane, f.block, 0, 256, false);
  std::vector<uint8_t> data(200, 7);
  uint32_t taken[Vault::kTakenPadNumbers];
  f.vault.LaneXor(lane, other, 0, data, taken);
  for (size_t i = 0; i < data.size(); ++i) CHECK(data[i] == (7 ^ f.plain[i] ^ f.plain[512 + i]));
  CHECK(taken[0] == 5 && taken[1] == 0 && taken[2] == 0 && f.vault.GetLane(lane).RunBytes() == 56);
  std::vector<uint8_t> rest(8);
  THROWS(f.vault.LaneXor(lane, other, 192, rest, taken), "a pad is used once");
  THROWS(f.vault.LaneXor(lane, other, 202, rest, taken), "pads lie in loaded frames");  // the confirmation's bytes
  CHECK(f.vault.GetLane(lane).RunBytes() == 56);
  std::vector<uint8_t> more(64);
  THROWS(f.vault.LaneXor(lane, other, 200, more, taken), "one leased stretch");
  f.vault.DropLane(lane);
  f.vault.DropBlock(f.block);
  f.vault.DropBlock(other);
  CHECK(!f.Holds(0, 16) && !f.Holds(512, 16));
}

TEST("a record that does not open leaves nothing of it behind") {
  Fixture f(1);
  std::vector<uint8_t> record(SealedBytes(256));
  CHECK(SealRecord(f.sealer, RecordHeader{}, f.plain.data(), 256, record.data()));
  f.vault.DropBlock(f.block);
  const uint32_t sizes[] = {256};
  const uint32_t block = f.vault.CreateBlock(6, 0, sizes);
  record.back() ^= 1;
  THROWS(f.vault.LoadFrame(block, 0, f.key, record), "does not authenticate");
  CHECK(!f.Holds(0, 16) && !f.vault.FrameLoaded(block, 0) && f.vault.Stats().cells_used == 0);
  CHECK(!f.vault.VerifyRecord(f.key, record) && !f.Holds(0, 16));
  record.back() ^= 1;
  CHECK(f.vault.VerifyRecord(f.key, record) && !f.Holds(0, 16));
}

TEST("zeroize leaves only zeros, and every handle is dead") {
  Fixture f(3);
  const uint32_t lane = f.vault.CreateLane();
  f.vault.LanePush(lane, f.block, 0, 128, false);
  f.vault.Zeroize();
  CHECK(VaultProbe::Zero(f.vault) && !SealerExists(f.sealer));
  const VaultStats stats = f.vault.Stats();
  CHECK(stats.cells_used == 0 && stats.cells_pinned == 0 && stats.keys_used == 0 && stats.blocks == 0 && stats.lanes == 0);
  THROWS(f.vault.FrameLoaded(f.block, 0), "a block handle is live");
  THROWS(f.vault.GetLane(lane), "a lane handle is live");
  THROWS(f.vault.KeyCheck(f.key, nullptr), "a key handle is live");
  uint8_t out[128];
  CHECK(!SealRecord(f.sealer, RecordHeader{}, f.plain.data(), 16, out));
}

TEST("no IV occurs twice under a sealer, also when sealing is refused in between") {
  Fixture f(1);
  std::vector<uint8_t> record(SealedBytes(16));
  std::vector<std::string> ivs;
  for (int i = 0; i < 100; ++i) {
    CHECK(!SealRecord(f.sealer, RecordHeader{}, f.plain.data(), i % 2 == 0 ? 0 : kFrameBytesMax + 1, record.data()));
    CHECK(SealRecord(f.sealer, RecordHeader{}, f.plain.data(), 16, record.data()));
    ivs.emplace_back(record.begin() + 64, record.begin() + 76);
  }
  std::sort(ivs.begin(), ivs.end());
  CHECK(std::adjacent_find(ivs.begin(), ivs.end()) == ivs.end());
}

TEST_MAIN()
