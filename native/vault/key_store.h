// Keys in locked memory, by handle, with the cipher contexts that were made from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "vault/gcm.h"
#include "vault/handles.h"
#include "vault/key_id_cipher.h"
#include "vault/locked_memory.h"

namespace qkme::vault {

class KeyStore;

/// One secret of 16 (hash keys) or 32 bytes. Wiped when destroyed.
class Key {
 public:
  Key(KeyStore* store, uint32_t slot, size_t length);
  ~Key();
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  uint8_t* bytes() const { return bytes_; }
  size_t length() const { return length_; }
  /// Made at the first use, kept until the key goes. @throws VaultError INTERNAL.
  GcmDecryptor& opener();
  KeyIdCipher& names();

 private:
  KeyStore* store_;
  uint32_t slot_;
  uint8_t* bytes_;
  size_t length_;
  std::unique_ptr<GcmDecryptor> opener_;
  std::unique_ptr<KeyIdCipher> names_;
};

class KeyStore {
 public:
  static constexpr uint32_t kKeysMax = 4096;

  /// @throws VaultError MEMORY_NOT_LOCKED, INTERNAL.
  explicit KeyStore(bool allow_unlocked);

  /// A key that `fill(Key&)` makes; if that throws, no key stays. @throws what Add and `fill` throw.
  template <typename Fill>
  uint32_t Make(size_t length, Fill fill) {
    Key* key = nullptr;
    const uint32_t handle = Add(length, &key);
    try {
      fill(*key);
    } catch (...) {
      Drop(handle);
      throw;
    }
    return handle;
  }
  /// @throws InvariantError if the handle is not live or the key has another length.
  Key& Get(uint32_t handle, size_t length = kKeyBytes) const;
  void Drop(uint32_t handle);
  void Clear() { keys_.Clear(); }
  uint32_t used() const { return keys_.used(); }
  bool locked() const { return region_.locked(); }

 private:
  /// A key of zeros. @throws VaultError ARENA_FULL at kKeysMax keys.
  uint32_t Add(size_t length, Key** key);

  friend class Key;
  friend struct VaultProbe;  ///< native/test
  LockedRegion region_;
  std::vector<uint32_t> free_;
  HandleTable<Key, HandleKind::kKey> keys_{kKeysMax};
};

}  // namespace qkme::vault
