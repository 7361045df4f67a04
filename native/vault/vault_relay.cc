// One-time pads of the relay: lane bytes become a new block, pads are changed on the way, the last one is removed.
#include <algorithm>
#include <cstring>

#include "vault/error.h"
#include "vault/hybrid_stream.h"
#include "vault/vault.h"
#include "xor_bytes.h"

namespace qkme::vault {
namespace {

void XorBlock(uint8_t* into, Block& block, uint32_t offset, uint32_t length) {
  block.ForEachPiece(offset, length, [&into](const uint8_t* bytes, uint32_t n) {
    XorPad(into, bytes, n);
    into += n;
  });
}

void ClaimPad(Block& block, uint32_t offset, uint32_t length) {
  Require(length >= 1 && block.Spendable(offset, length) && block.Loaded(offset, length), "pads lie in loaded frames of their blocks");
  Require(block.Claim(offset, length), "a pad is used once");
}

}  // namespace

// The lane's lease has claimed these bytes already: they are on disk as spent.
uint32_t Vault::LaneSeal(uint32_t lane, uint32_t sealer, ByteSpan header, uint32_t length, OutSpan out, uint32_t* taken) {
  RequireSealable(sealer, header, length, out);
  Lane& from = GetLane(lane);
  Require(length >= 1 && length <= from.RunBytes(), "the bytes of a new frame lie in one leased stretch");
  uint32_t at = 0;
  Block* const block = from.Front(&at);
  block->TellPlace(at, taken);
  const ScratchGuard payload(scratch().frame, length);
  block->Copy(at, length, payload.data());
  from.Pass(length);
  return SealPayload(sealer, header, {payload.data(), length}, out);
}

void Vault::LaneXor(uint32_t lane, uint32_t block, uint32_t offset, OutSpan data, uint32_t* taken) {
  Lane& from = GetLane(lane);
  const uint32_t length = static_cast<uint32_t>(data.size());
  Require(length >= 1 && length <= from.RunBytes(), "padded bytes lie in one leased stretch");
  Block& removed = GetBlock(block);
  ClaimPad(removed, offset, length);
  uint32_t at = 0;
  Block* const added = from.Front(&at);
  added->TellPlace(at, taken);
  uint32_t passed = 0;
  // Both at once: `data` must never hold the key with one pad missing. The lane wipes what it has passed, while that is in the
  // cache.
  for (uint32_t done = 0; done < length;) {
    uint32_t take = length - done;
    const uint8_t* const pad_off = removed.Piece(offset + done, &take);
    const uint8_t* const pad_on = added->Piece(at + done, &take);
    XorPads(data.data() + done, pad_off, pad_on, take);
    done += take;
    // A piece that ends within a place is passed with what follows it.
    if (done % kPlaceBytes == 0 || done == length) {
      from.Pass(done - passed);
      passed = done;
    }
  }
}

uint32_t Vault::SealPads(uint32_t sealer, ByteSpan header, std::span<const uint32_t> pads, ByteSpan cipher, OutSpan out, bool keep) {
  RequireSealable(sealer, header, cipher.size(), out);
  Require(pads.size() % 3 == 0 && pads.size() >= 3 && pads.size() <= 3 * kXorBlocksMax, "1 to 8 pads, each with block, offset and length");
  uint64_t total = 0;
  for (size_t i = 0; i < pads.size(); i += 3) total += pads[i + 2];
  Require(total == cipher.size(), "the pads are as long as the cipher");
  for (size_t i = 0; i < pads.size(); i += 3) ClaimPad(GetBlock(pads[i]), pads[i + 1], pads[i + 2]);
  const ScratchGuard payload(scratch().frame, cipher.size());
  std::memcpy(payload.data(), cipher.data(), cipher.size());
  uint32_t at = 0;
  for (size_t i = 0; i < pads.size(); at += pads[i + 2], i += 3) {
    XorBlock(payload.data() + at, GetBlock(pads[i]), pads[i + 1], pads[i + 2]);
  }
  return SealPayload(sealer, header, {payload.data(), cipher.size()}, out, keep);
}

void Vault::JoinShares(std::span<const uint32_t> blocks, std::span<const uint32_t> offsets, uint32_t length, uint8_t* payload) {
  Require(blocks.size() >= 1 && blocks.size() <= kXorBlocksMax && offsets.size() == blocks.size(), "1 to 8 shares, each with its offset");
  for (size_t i = 0; i < blocks.size(); ++i) ClaimPad(GetBlock(blocks[i]), offsets[i], length);
  std::memset(payload, 0, length);
  for (size_t i = 0; i < blocks.size(); ++i) XorBlock(payload, GetBlock(blocks[i]), offsets[i], length);
}

uint32_t Vault::SealXor(uint32_t sealer, ByteSpan header, std::span<const uint32_t> blocks,
                        std::span<const uint32_t> offsets, uint32_t length, OutSpan out, bool keep) {
  RequireSealable(sealer, header, length, out);
  const ScratchGuard payload(scratch().frame, length);
  JoinShares(blocks, offsets, length, payload.data());
  return SealPayload(sealer, header, {payload.data(), length}, out, keep);
}

uint32_t Vault::SealHybrid(uint32_t sealer, ByteSpan header, std::span<const uint32_t> blocks,
                           std::span<const uint32_t> offsets, uint32_t length, uint32_t exchange, OutSpan out) {
  RequireSealable(sealer, header, length, out);
  const Key& key = keys_.Get(exchange);
  RecordHeader name;
  std::memcpy(&name, header.data(), sizeof name);
  const ScratchGuard payload(scratch().frame, length);
  JoinShares(blocks, offsets, length, payload.data());
  XorHybridStream(key.bytes(), name, payload.data(), length);
  return SealPayload(sealer, header, {payload.data(), length}, out);
}

}  // namespace qkme::vault
