#include "vault/key_store.h"

namespace qkme::vault {

Key::Key(KeyStore* store, uint32_t slot, size_t length)
    : store_(store), slot_(slot), bytes_(store->region_.data() + slot * kKeyBytes), length_(length) {}

Key::~Key() {
  Wipe(bytes_, kKeyBytes);
  store_->free_.push_back(slot_);
}

GcmDecryptor& Key::opener() {
  if (!opener_) opener_ = std::make_unique<GcmDecryptor>(bytes_);
  return *opener_;
}

KeyIdCipher& Key::names() {
  if (!names_) names_ = std::make_unique<KeyIdCipher>(bytes_);
  return *names_;
}

KeyStore::KeyStore(bool allow_unlocked) : region_(kKeysMax * kKeyBytes, allow_unlocked) {
  free_.reserve(kKeysMax);
  for (uint32_t slot = kKeysMax; slot-- > 0;) free_.push_back(slot);
}

uint32_t KeyStore::Add(size_t length, Key** key) {
  if (free_.empty()) throw VaultError("ARENA_FULL", "the vault holds as many keys as it can (4096): drop some first");
  auto added = std::make_unique<Key>(this, free_.back(), length);
  free_.pop_back();
  *key = added.get();
  return keys_.Add(std::move(added));
}

Key& KeyStore::Get(uint32_t handle, size_t length) const {
  Key* const key = keys_.Find(handle);
  Require(key != nullptr, "a key handle is live");
  Require(key->length() == length, "a key handle names a key of the right kind");
  return *key;
}

void KeyStore::Drop(uint32_t handle) { Require(keys_.Remove(handle) != nullptr, "a key is dropped once"); }

}  // namespace qkme::vault
