// Makes and opens key IDs under an ID epoch key: an SIV construction over the 122 bits of key_id.h.
//
//   tag    = first 51 bits of AES-256(subkey 1, "QKMEID1" || fields 72)
//   masked = fields xor first 71 bits of AES-256(subkey 2, "QKMEID2" || 0 || tag 64)
//
// A block cipher under a key of its own is a PRF of its one block, so equal fields give equal IDs, other
// fields IDs that cannot be told from noise, and a made-up ID verifies with probability 2^-51.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vault/gcm.h"
#include "vault/key_id.h"

namespace qkme::vault {

class KeyIdCipher {
 public:
  /// IDs that go through the cipher together.
  static constexpr size_t kBatch = 128;

  /// Subkeys are HKDF of `epoch_key` (kKeyBytes). @throws VaultError INTERNAL.
  explicit KeyIdCipher(const uint8_t* epoch_key);

  /// Names of up to kBatch keys: kUuidBytes each into `uuids`. The fields are in range.
  void Make(const KeyIdFields* fields, size_t count, uint8_t* uuids);
  /// Opens up to kBatch. good[i] becomes 0xFFFFFFFF if the tag verifies, else 0; fields[i] means something only in the first
  /// case. Takes the same time whatever the tags are.
  void Open(const uint64_t* tags, const Bits128* masked, size_t count, KeyIdFields* fields, uint32_t* good);

 private:
  void TagsOf(const Bits128* packed, size_t count, uint64_t* tags);
  void MasksOf(const uint64_t* tags, size_t count, Bits128* masks);

  CipherContext tag_cipher_;
  CipherContext mask_cipher_;
};

}  // namespace qkme::vault
