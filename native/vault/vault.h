// The vault: everything that touches key plaintext outside a ring. One object per KME; single-threaded.
// The promises of the methods are those of NativeVault in src/device/native.ts; failures are VaultError
// (expected, with a code) and InvariantError (a bug of the caller).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "gf128.h"
#include "record.h"
#include "vault/arena.h"
#include "vault/block.h"
#include "vault/container.h"
#include "vault/handles.h"
#include "vault/key_store.h"
#include "vault/lane.h"
#include "vault/random.h"
#include "vault/recent_frames.h"

namespace qkme::vault {

using ByteSpan = std::span<const uint8_t>;
using OutSpan = std::span<uint8_t>;

struct VaultOptions {
  size_t arena_bytes;
  bool allow_unlocked;
  ByteSpan seed;  ///< empty: the system's random source
};

struct VaultStats {
  size_t arena_bytes;
  uint32_t cells_total, cells_used, cells_pinned, keys_used, blocks, lanes;
  bool locked, deterministic;
};

class Vault {
 public:
  static constexpr size_t kWrappedBytes = kGcmIvBytes + kKeyBytes + kGcmTagBytes;
  static constexpr size_t kCheckBytes = 16;
  static constexpr size_t kKeysPerCallMax = 1024;
  static constexpr size_t kEpochsMax = 4;
  static constexpr size_t kXorBlocksMax = 8;
  static constexpr size_t kKeyIdFields = 5;
  static constexpr int32_t kCutInsufficient = -1;
  static constexpr int32_t kCutNoRoom = -2;
  /// What a cut tells besides: block and place of the first key (Block::TellPlace), bytes skipped at block ends, then of the lane
  /// behind it the leased bytes left and the stretches that Trim would forget.
  static constexpr size_t kTakenNumbers = 6;
  /// What is told of a pad: block and offset.
  static constexpr size_t kTakenPadNumbers = 3;

  explicit Vault(const VaultOptions& options);
  ~Vault();

  VaultStats Stats() const;
  void Zeroize();

  // vault_keys.cc
  void CreateMasterKeyFile(const std::string& path);
  uint32_t OpenMasterKeyFile(const std::string& path);
  uint32_t OpenMasterPassphraseFile(const std::string& path, ByteSpan salt, uint32_t log_n, uint32_t r, uint32_t p);
  uint32_t NewKey();
  uint32_t TakeKey(OutSpan bytes);
  uint32_t DeriveKey(uint32_t key, ByteSpan salt, std::string_view info);
  void WrapKey(uint32_t kek, uint32_t key, ByteSpan aad, uint8_t* out);
  uint32_t UnwrapKey(uint32_t kek, ByteSpan wrapped, ByteSpan aad);
  void KeyCheck(uint32_t key, uint8_t* out);
  void Hmac(uint32_t key, ByteSpan data, uint8_t* out);
  void DropKey(uint32_t key) { keys_.Drop(key); }

  // vault_blocks.cc
  uint32_t CreateSealer(uint32_t key, uint32_t start);
  void DropSealer(uint32_t sealer);
  uint32_t SealRandom(uint32_t sealer, ByteSpan header, uint32_t length, OutSpan out);
  uint32_t SealBytes(uint32_t sealer, ByteSpan header, ByteSpan payload, OutSpan out);
  bool VerifyRecord(uint32_t key, ByteSpan record);
  uint32_t CreateBlock(uint64_t number, uint32_t epoch, std::span<const uint32_t> frame_bytes);
  void LoadFrame(uint32_t block, uint32_t index, uint32_t key, ByteSpan record);
  /// `names`: RecentFrames::kNameBytes for each frame of the block, `stride` apart. @returns how many of its frames are loaded.
  uint32_t LoadRecent(uint32_t block, ByteSpan names, uint32_t stride);
  /// Hands a loaded frame of a block that is dropped next to what LoadRecent finds, under the name in `header`.
  void KeepRecent(uint32_t block, uint32_t index, ByteSpan header);
  void SweepRecent();
  bool FrameLoaded(uint32_t block, uint32_t index);
  void PinFrame(uint32_t block, uint32_t index);
  void UnpinFrame(uint32_t block, uint32_t index);
  void DropBlock(uint32_t block);
  uint32_t DeriveFromBlock(uint32_t block, uint32_t offset, uint32_t length, std::string_view info);

  // vault_tags.cc
  /// `challenge`: empty, or kGfBytes that are xored onto the key of the hash.
  void ConfirmTag(uint32_t block, uint32_t role, ByteSpan m, ByteSpan challenge, uint8_t* out);
  bool VerifyConfirmTag(uint32_t block, uint32_t role, ByteSpan m, ByteSpan tag);
  uint32_t TakeHashKey(uint32_t block, uint32_t offset);
  void Tag(uint32_t hash_key, uint32_t block, uint32_t offset, ByteSpan data, OutSpan out);
  bool VerifyTag(uint32_t hash_key, uint32_t block, uint32_t offset, ByteSpan data, ByteSpan tag);

  // vault_relay.cc
  uint32_t LaneSeal(uint32_t lane, uint32_t sealer, ByteSpan header, uint32_t length, OutSpan out, uint32_t* taken);
  void LaneXor(uint32_t lane, uint32_t block, uint32_t offset, OutSpan data, uint32_t* taken);
  uint32_t SealPads(uint32_t sealer, ByteSpan header, std::span<const uint32_t> pads, ByteSpan cipher, OutSpan out, bool keep);
  uint32_t SealXor(uint32_t sealer, ByteSpan header, std::span<const uint32_t> blocks,
                   std::span<const uint32_t> offsets, uint32_t length, OutSpan out, bool keep);
  uint32_t SealHybrid(uint32_t sealer, ByteSpan header, std::span<const uint32_t> blocks,
                      std::span<const uint32_t> offsets, uint32_t length, uint32_t exchange, OutSpan out);

  // vault_grant.cc
  uint32_t HoldKeys(uint32_t lane, uint32_t count, uint32_t key_bytes, uint32_t association, OutSpan ids, uint32_t* taken);
  void PadHeld(uint32_t lane, uint32_t held, uint32_t offset, OutSpan data, uint32_t* taken);

  // vault_delivery.cc
  uint32_t CreateLane();
  void DropLane(uint32_t lane);
  Lane& GetLane(uint32_t lane);
  void LanePush(uint32_t lane, uint32_t block, uint32_t from, uint32_t to, bool last);
  int32_t Cut(uint32_t lane, uint32_t count, uint32_t key_bytes, uint32_t association, const Members& members,
              OutSpan out, uint32_t* taken);
  uint32_t OpenKeyIds(std::span<const uint32_t> epochs, std::string_view ids, uint32_t count, std::span<uint32_t> out);
  void MakeKeyId(uint32_t epoch, const KeyIdFields& fields, char* text);
  int32_t Serve(uint32_t count, std::string_view ids, std::span<const uint32_t> blocks,
                std::span<const uint32_t> offsets, std::span<const uint32_t> lengths, const Members& members,
                OutSpan out);

 private:
  friend struct VaultProbe;  ///< native/test: looks at the arena
  /// Locked memory for what is secret and short-lived.
  struct Scratch {
    alignas(64) uint8_t frame[4096];
    alignas(alignof(PolyHash)) uint8_t hash[sizeof(PolyHash)];
    uint8_t confirm[Block::kConfirmBytes];
    uint8_t pad[kGfBytes];
  };
  Block& GetBlock(uint32_t handle) const;
  Block& GetBlock(uint32_t handle, uint32_t frame) const;
  Scratch& scratch() const { return *reinterpret_cast<Scratch*>(scratch_.data()); }
  void RequireSealable(uint32_t sealer, ByteSpan header, size_t length, OutSpan out) const;
  /// `keep`: what is sealed stays open for a moment (RecentFrames).
  uint32_t SealPayload(uint32_t sealer, ByteSpan header, ByteSpan payload, OutSpan out, bool keep = false);
  void JoinShares(std::span<const uint32_t> blocks, std::span<const uint32_t> offsets, uint32_t length, uint8_t* payload);
  std::unique_ptr<Block> EmptyHeldBlock(uint32_t bytes);
  /// Moves the lane over what runs_ has planned and writes kTakenNumbers.
  void AdvanceTelling(Lane* lane, uint32_t count, uint32_t key_bytes, uint32_t skipped, uint32_t* taken);
  void PadTag(Key& hash_key, Block& block, uint32_t offset, ByteSpan data, uint8_t* out);

  Arena arena_;
  RecentFrames recent_{&arena_};
  KeyStore keys_;
  LockedRegion scratch_;
  RandomSource random_;
  HandleTable<Block, HandleKind::kBlock> blocks_{65535};
  HandleTable<Lane, HandleKind::kLane> lanes_{1024};
  std::set<uint32_t> sealers_;
  std::array<Run, kKeysPerCallMax> runs_;
};

}  // namespace qkme::vault
