// Keys for slaves at several KMEs: cut aside into locked memory, padded for each further KME, and served when all have them.
#include <algorithm>
#include <cstring>

#include "vault/error.h"
#include "vault/vault.h"

namespace qkme::vault {
namespace {

// Writes bytes over the frames of a block, which are loaded.
void PutBytes(Block* block, uint32_t offset, const uint8_t* bytes, uint32_t length) {
  block->ForEachPiece(offset, length, [&bytes](uint8_t* piece, uint32_t n) {
    std::memcpy(piece, bytes, n);
    bytes += n;
  });
}

}  // namespace

std::unique_ptr<Block> Vault::EmptyHeldBlock(uint32_t bytes) {
  uint32_t frames[Block::kFramesMax];
  size_t count = 0;
  for (uint32_t left = bytes; left > 0; left -= frames[count++]) {
    Require(count < Block::kFramesMax, "held keys have at most 63,440 bytes");
    frames[count] = std::min<uint32_t>(left, kFrameBytesMax);
  }
  auto block = std::make_unique<Block>(&arena_, 0, 0, frames, count);
  block->held = true;
  for (uint32_t i = 0; i < count; ++i) {
    block->TakeFrame(i);
    block->Pin(i);
  }
  return block;
}

uint32_t Vault::HoldKeys(uint32_t lane, uint32_t count, uint32_t key_bytes, uint32_t association, OutSpan ids, uint32_t* taken) {
  Require(count >= 1 && count <= kKeysPerCallMax, "a call holds 1 to 1024 keys");
  Require(key_bytes >= 1 && key_bytes <= kKeyBytesMax, "a key has 1 to 1024 bytes");
  Require(association < kAssociationsMax, "an association number has 16 bits");
  Require(ids.size() >= count * kUuidBytes, "there is room for the key IDs");
  Lane& from = GetLane(lane);
  uint32_t skipped = 0;
  const uint32_t runs = from.Plan(count, key_bytes, runs_.data(), kKeysPerCallMax, &skipped);
  if (runs == 0) return 0;
  const uint32_t unit = RoundUpToPlace(key_bytes);
  // The bytes behind the keys stand where a block of stock has its confirmation: they are never served.
  auto block = EmptyHeldBlock(count * unit + Block::kConfirmBytes);
  const ScratchGuard gathered(scratch().frame, key_bytes);
  uint32_t done = 0;
  for (uint32_t r = 0; r < runs; ++r) {
    const Run& run = runs_[r];
    KeyIdCipher& names = keys_.Get(run.block->epoch()).names();
    for (uint32_t i = 0; i < run.count; ++i, ++done) {
      const uint32_t offset = run.offset + i * unit;
      const KeyIdFields fields{run.block->number_in_id(), offset / kPlaceBytes, key_bytes, association};
      names.Make(&fields, 1, ids.data() + done * kUuidBytes);
      PutBytes(block.get(), done * unit, run.block->View(offset, key_bytes, gathered.data()), key_bytes);
    }
  }
  const uint32_t handle = blocks_.Add(std::move(block));
  AdvanceTelling(&from, count, key_bytes, skipped, taken);
  return handle;
}

void Vault::PadHeld(uint32_t lane, uint32_t held, uint32_t offset, OutSpan data, uint32_t* taken) {
  Lane& from = GetLane(lane);
  Block& keys = GetBlock(held);
  const uint32_t length = static_cast<uint32_t>(data.size());
  Require(keys.held, "only keys that were cut aside are padded so");
  Require(length >= 1 && length <= from.RunBytes(), "pads lie in one leased stretch");
  Require(keys.Spendable(offset, length) && keys.Loaded(offset, length), "padded keys lie in what is held");
  uint32_t at = 0;
  Block* const pads = from.Front(&at);
  pads->TellPlace(at, taken);
  // In locked memory piece by piece: `data` must never hold a key without its pad.
  const ScratchGuard both(scratch().frame, sizeof scratch().frame);
  for (uint32_t done = 0; done < length;) {
    const uint32_t take = std::min<uint32_t>(length - done, sizeof scratch().frame);
    keys.Copy(offset + done, take, both.data());
    uint8_t* into = both.data();
    pads->ForEachPiece(at + done, take, [&into](const uint8_t* bytes, uint32_t n) {
      for (uint32_t i = 0; i < n; ++i) into[i] ^= bytes[i];
      into += n;
    });
    std::memcpy(data.data() + done, both.data(), take);
    done += take;
  }
  from.Pass(length);
}

}  // namespace qkme::vault
