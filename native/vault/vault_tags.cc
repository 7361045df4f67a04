// Confirmation of blocks, tags between neighbours.
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

}  // namespace

// The hashed text is: role u8, seven zeros, length of m u64 (little endian), m, the block without its last 48 bytes.
void Vault::ConfirmTag(uint32_t block, uint32_t role, ByteSpan m, ByteSpan challenge, uint8_t* out) {
  Block& from = GetBlock(block);
  Require(role == 1 || role == 2, "a role is 1 or 2");
  Require(challenge.empty() || challenge.size() == kGfBytes, "a challenge is as long as the key of the hash");
  Require(from.total_bytes() >= Block::kConfirmBytes, "a block that is confirmed has at least 48 bytes");
  Require(from.Loaded(0, from.total_bytes()), "a block that is confirmed is loaded");
  const uint32_t rest = from.total_bytes() - Block::kConfirmBytes;
  uint8_t* const keys = scratch().confirm;  // k1, k2, k3
  from.Copy(rest, Block::kConfirmBytes, keys);
  Xor(keys, challenge.data(), challenge.size());
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
  const ScratchGuard wipe(expected, sizeof expected);
  ConfirmTag(block, role, m, {}, expected);
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

}  // namespace qkme::vault
