// Confirmation of blocks, tags between neighbours, one-time pads of the relay.
#include <algorithm>
#include <cstring>
#include <new>

#include "vault/error.h"
#include "vault/vault.h"

namespace qkme::vault {
namespace {

// A hash whose state lies in locked memory.
class ScratchHash {
 public:
  ScratchHash(uint8_t* memory, const uint8_t* key) : hash_(new (memory) PolyHash(key)) {}
  ~ScratchHash() { hash_->~PolyHash(); }
  ScratchHash(const ScratchHash&) = delete;
  ScratchHash& operator=(const ScratchHash&) = delete;
  PolyHash* operator->() { return hash_; }

 private:
  PolyHash* hash_;
};

void Xor(uint8_t* into, const uint8_t* from, size_t length) {
  for (size_t i = 0; i < length; ++i) into[i] ^= from[i];
}

void XorBlock(uint8_t* into, Block& block, uint32_t offset, uint32_t length) {
  block.ForEachPiece(offset, length, [&into](const uint8_t* bytes, uint32_t n) {
    Xor(into, bytes, n);
    into += n;
  });
}

}  // namespace

// The hashed text is: role u8, seven zeros, length of m u64 (little endian), m, the block without its last 48 bytes.
void Vault::ConfirmTag(uint32_t block, uint32_t role, ByteSpan m, uint8_t* out) {
  Block& from = GetBlock(block);
  Require(role == 1 || role == 2, "a role is 1 or 2");
  Require(from.total_bytes() >= Block::kConfirmBytes, "a block that is confirmed has at least 48 bytes");
  Require(from.Loaded(0, from.total_bytes()), "a block that is confirmed is loaded");
  const uint32_t rest = from.total_bytes() - Block::kConfirmBytes;
  uint8_t* const keys = scratch().confirm;  // k1, k2, k3
  from.Copy(rest, Block::kConfirmBytes, keys);
  const uint64_t prefix[2] = {role, m.size()};
  {
    ScratchHash hash(scratch().hash, keys);
    hash->Update(reinterpret_cast<const uint8_t*>(prefix), sizeof prefix);
    hash->Update(m.data(), m.size());
    from.ForEachPiece(0, rest, [&hash](const uint8_t* bytes, uint32_t n) { hash->Update(bytes, n); });
    hash->Final(scratch().pad);
  }
  Xor(scratch().pad, keys + role * kGfBytes, kGfBytes);
  std::memcpy(out, scratch().pad, kGfBytes);
  Wipe(keys, Block::kConfirmBytes);
}

bool Vault::VerifyConfirmTag(uint32_t block, uint32_t role, ByteSpan m, ByteSpan tag) {
  uint8_t expected[kGfBytes];
  ConfirmTag(block, role, m, expected);
  return tag.size() == kGfBytes && EqualConstantTime(expected, tag.data(), kGfBytes);
}

uint32_t Vault::TakeHashKey(uint32_t block, uint32_t offset) {
  Block& from = GetBlock(block);
  Require(from.Spendable(offset, kGfBytes) && from.Loaded(offset, kGfBytes), "a hash key lies in loaded frames of its block");
  Require(from.ClaimRepeatable(offset, kGfBytes), "the bytes of a hash key were not used before");
  return keys_.Make(kGfBytes, [&from, offset](Key& key) { from.Copy(offset, kGfBytes, key.bytes()); });
}

// The pad is claimed and gone from the arena before the tag is known to anybody.
void Vault::PadTag(Key& hash_key, Block& block, uint32_t offset, ByteSpan data, uint8_t* out) {
  uint8_t* const pad = scratch().pad;
  block.Copy(offset, kGfBytes, pad);
  block.WipeBytes(offset, kGfBytes);
  ScratchHash hash(scratch().hash, hash_key.bytes());
  hash->Update(data.data(), data.size());
  uint8_t sum[kGfBytes];
  hash->Final(sum);
  Xor(pad, sum, kGfBytes);
  Wipe(sum, sizeof sum);
  std::memcpy(out, pad, kGfBytes);
}

void Vault::Tag(uint32_t hash_key, uint32_t block, uint32_t offset, ByteSpan data, OutSpan out) {
  Key& key = keys_.Get(hash_key, kGfBytes);
  Block& from = GetBlock(block);
  Require(out.size() >= kGfBytes, "there is room for a tag");
  Require(from.Spendable(offset, kGfBytes) && from.Loaded(offset, kGfBytes), "a pad lies in loaded frames of its block");
  Require(from.Claim(offset, kGfBytes), "a pad is used once");
  PadTag(key, from, offset, data, out.data());
}

bool Vault::VerifyTag(uint32_t hash_key, uint32_t block, uint32_t offset, ByteSpan data, ByteSpan tag) {
  Key& key = keys_.Get(hash_key, kGfBytes);
  Block& from = GetBlock(block);
  // The message names the pad, so a pad outside the block or used before is a forgery, not a bug of ours.
  if (!from.Spendable(offset, kGfBytes)) return false;
  Require(from.Loaded(offset, kGfBytes), "the frames of a pad are loaded");
  if (!from.Claim(offset, kGfBytes)) return false;
  uint8_t expected[kGfBytes];
  PadTag(key, from, offset, data, expected);
  const bool good = tag.size() == kGfBytes && EqualConstantTime(expected, tag.data(), kGfBytes);
  Wipe(expected, sizeof expected);
  return good;
}

void Vault::PadXor(uint32_t block_a, uint32_t offset_a, uint32_t block_b, uint32_t offset_b, uint32_t length,
                   OutSpan out) {
  Block& a = GetBlock(block_a);
  Block& b = GetBlock(block_b);
  Require(length >= 1 && a.Spendable(offset_a, length) && b.Spendable(offset_b, length), "padded bytes lie in their blocks");
  Require(a.Loaded(offset_a, length) && b.Loaded(offset_b, length), "padded bytes are loaded");
  Require(out.size() >= length, "there is room for the padded bytes");
  Require(a.Claim(offset_a, length) && b.Claim(offset_b, length), "padded bytes were not used before");
  // In locked memory piece by piece: `out` must never hold one side alone.
  const ScratchGuard both(scratch().frame, sizeof scratch().frame);
  for (uint32_t done = 0; done < length;) {
    const uint32_t take = std::min<uint32_t>(length - done, sizeof scratch().frame);
    a.Copy(offset_a + done, take, both.data());
    XorBlock(both.data(), b, offset_b + done, take);
    std::memcpy(out.data() + done, both.data(), take);
    done += take;
  }
}

uint32_t Vault::SealXor(uint32_t sealer, ByteSpan header, std::span<const uint32_t> blocks,
                        std::span<const uint32_t> offsets, ByteSpan cipher, OutSpan out) {
  RequireSealable(sealer, header, cipher.size(), out);
  Require(blocks.size() >= 1 && blocks.size() <= kXorBlocksMax && offsets.size() == blocks.size(), "1 to 8 pads, each with its offset");
  const uint32_t length = static_cast<uint32_t>(cipher.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Block& block = GetBlock(blocks[i]);
    Require(block.Spendable(offsets[i], length) && block.Loaded(offsets[i], length), "pads lie in loaded frames of their blocks");
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    Require(GetBlock(blocks[i]).Claim(offsets[i], length), "a pad is used once");
  }
  const ScratchGuard payload(scratch().frame, length);
  std::memcpy(payload.data(), cipher.data(), length);
  for (size_t i = 0; i < blocks.size(); ++i) XorBlock(payload.data(), GetBlock(blocks[i]), offsets[i], length);
  return SealPayload(sealer, header, {payload.data(), length}, out);
}

}  // namespace qkme::vault
