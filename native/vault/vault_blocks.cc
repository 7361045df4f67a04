// Sealed records and blocks.
#include <cstring>

#include "ring.h"
#include "vault/error.h"
#include "vault/kdf.h"
#include "vault/sealer.h"
#include "vault/vault.h"

namespace qkme::vault {

uint32_t Vault::CreateSealer(uint32_t key, uint32_t start) {
  const uint32_t handle = AddSealer(keys_.Get(key).bytes(), start, &recent_);
  sealers_.insert(handle);
  return handle;
}

void Vault::DropSealer(uint32_t sealer) {
  Require(sealers_.erase(sealer) == 1 && vault::DropSealer(sealer), "a sealer is dropped once, by its vault");
}

uint32_t Vault::SealPayload(uint32_t sealer, ByteSpan header, ByteSpan payload, OutSpan out, bool keep) {
  RecordHeader fields;
  std::memcpy(&fields, header.data(), sizeof fields);
  if (!SealRecord(sealer, fields, payload.data(), payload.size(), out.data())) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256-GCM");
  }
  if (keep) recent_.Keep(fields, payload.data(), payload.size(), MonotonicNs());
  return static_cast<uint32_t>(SealedBytes(payload.size()));
}

void Vault::RequireSealable(uint32_t sealer, ByteSpan header, size_t length, OutSpan out) const {
  Require(sealers_.contains(sealer), "a sealer handle is live");
  Require(header.size() == kRecordHeaderBytes, "a record header has 64 bytes");
  Require(length >= 1 && length <= kFrameBytesMax, "a frame has 1 to 3968 bytes");
  Require(out.size() >= SealedBytes(length), "there is room for the record");
}

uint32_t Vault::SealRandom(uint32_t sealer, ByteSpan header, uint32_t length, OutSpan out) {
  RequireSealable(sealer, header, length, out);
  const ScratchGuard payload(scratch().frame, length);
  random_.Fill(payload.data(), length);
  return SealPayload(sealer, header, {payload.data(), length}, out);
}

uint32_t Vault::SealBytes(uint32_t sealer, ByteSpan header, ByteSpan payload, OutSpan out) {
  RequireSealable(sealer, header, payload.size(), out);
  return SealPayload(sealer, header, payload, out);
}

bool Vault::VerifyRecord(uint32_t key, ByteSpan record) {
  const ScratchGuard payload(scratch().frame, kFrameBytesMax);
  return OpenRecord(keys_.Get(key).opener(), record.data(), record.size(), payload.data()) > 0;
}

uint32_t Vault::CreateBlock(uint64_t number, uint32_t epoch, std::span<const uint32_t> frame_bytes) {
  if (epoch != 0) keys_.Get(epoch);
  return blocks_.Add(std::make_unique<Block>(&arena_, number, epoch, frame_bytes.data(), frame_bytes.size()));
}

void Vault::LoadFrame(uint32_t block, uint32_t index, uint32_t key, ByteSpan record) {
  Block& holder = GetBlock(block, index);
  Key& opener = keys_.Get(key);
  Require(!holder.loaded(index), "a frame is loaded once");
  if (RecordPayloadBytes(record.data(), record.size()) != holder.frame_bytes(index)) {
    throw VaultError("STORE_CORRUPT", "a sealed record of block " + std::to_string(holder.number()) + " has not the length of its frame");
  }
  uint8_t* const cell = holder.TakeFrame(index);
  try {
    if (OpenRecord(opener.opener(), record.data(), record.size(), cell) == 0) {
      throw VaultError("STORE_CORRUPT", "a sealed record of block " + std::to_string(holder.number()) + " does not authenticate");
    }
  } catch (...) {
    holder.ReleaseFrame(index);
    throw;
  }
}

uint32_t Vault::LoadRecent(uint32_t block, ByteSpan names, uint32_t stride) {
  Block& holder = GetBlock(block);
  const size_t last = size_t{holder.frames() - 1} * stride;
  Require(stride >= RecentFrames::kNameBytes && names.size() >= last + RecentFrames::kNameBytes, "there is a name for each frame");
  uint32_t loaded = 0;
  for (uint32_t i = 0; i < holder.frames(); ++i) {
    if (!holder.loaded(i)) recent_.Take(names.data() + size_t{i} * stride, &holder, i);
    loaded += holder.loaded(i);
  }
  return loaded;
}

void Vault::KeepRecent(uint32_t block, uint32_t index, ByteSpan header) {
  Block& from = GetBlock(block, index);
  Require(header.size() >= kRecordHeaderBytes, "a record header has 64 bytes");
  RecordHeader name;
  std::memcpy(&name, header.data(), sizeof name);
  recent_.Adopt(name, &from, index, MonotonicNs());
}

void Vault::SweepRecent() { recent_.Sweep(MonotonicNs()); }

bool Vault::FrameLoaded(uint32_t block, uint32_t index) { return GetBlock(block, index).loaded(index); }

void Vault::PinFrame(uint32_t block, uint32_t index) { GetBlock(block, index).Pin(index); }

void Vault::UnpinFrame(uint32_t block, uint32_t index) { GetBlock(block, index).Unpin(index); }

void Vault::DropBlock(uint32_t block) {
  Require(GetBlock(block).leases == 0, "a block is dropped after its leases");
  blocks_.Remove(block);
}

uint32_t Vault::DeriveFromBlock(uint32_t block, uint32_t offset, uint32_t length, std::string_view info) {
  Block& from = GetBlock(block);
  Require(length >= 1 && length <= sizeof scratch().frame && from.Spendable(offset, length), "derived bytes lie in the block");
  Require(from.Loaded(offset, length), "frames to derive from are loaded");
  Require(from.ClaimRepeatable(offset, length), "bytes to derive from were not used before");
  const ScratchGuard gathered(scratch().frame, length);
  return keys_.Make(kKeyBytes, [&](Key& key) {
    HkdfSha256(from.View(offset, length, gathered.data()), length, nullptr, 0, info, key.bytes(), kKeyBytes);
  });
}

}  // namespace qkme::vault
