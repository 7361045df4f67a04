#include "vault/key_id_cipher.h"

#include <cstring>

#include "vault/big_endian.h"
#include "vault/error.h"
#include "vault/kdf.h"
#include "vault/locked_memory.h"

namespace qkme::vault {
namespace {

constexpr size_t kAesBlock = 16;
constexpr size_t kDomainBytes = 7;
constexpr char kTagDomain[kDomainBytes + 1] = "QKMEID1";
constexpr char kMaskDomain[kDomainBytes + 1] = "QKMEID2";

CipherContext NewCipher(const uint8_t* epoch_key, const char* info) {
  uint8_t subkey[kKeyBytes];
  HkdfSha256(epoch_key, kKeyBytes, nullptr, 0, info, subkey, sizeof subkey);
  CipherContext context(EVP_CIPHER_CTX_new());
  const bool good = context && EVP_EncryptInit_ex(context.get(), EVP_aes_256_ecb(), nullptr, subkey, nullptr) == 1 &&
                    EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1;
  Wipe(subkey, sizeof subkey);
  if (!good) throw VaultError("INTERNAL", "OpenSSL refused AES-256");
  return context;
}

// All blocks in place in one call: the cipher works on many at a time.
void Encrypt(EVP_CIPHER_CTX* context, uint8_t* blocks, size_t count) {
  int written = 0;
  if (EVP_EncryptUpdate(context, blocks, &written, blocks, static_cast<int>(count * kAesBlock)) != 1) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256");
  }
}

}  // namespace

KeyIdCipher::KeyIdCipher(const uint8_t* epoch_key)
    : tag_cipher_(NewCipher(epoch_key, "qkme key id tag")), mask_cipher_(NewCipher(epoch_key, "qkme key id mask")) {}

void KeyIdCipher::TagsOf(const Bits128* packed, size_t count, uint64_t* tags) {
  uint8_t blocks[kBatch * kAesBlock];
  for (size_t i = 0; i < count; ++i) {
    uint8_t* const block = blocks + i * kAesBlock;
    std::memcpy(block, kTagDomain, kDomainBytes);
    block[kDomainBytes] = static_cast<uint8_t>(packed[i] >> 64);
    StoreBig(static_cast<uint64_t>(packed[i]), block + kDomainBytes + 1);
  }
  Encrypt(tag_cipher_.get(), blocks, count);
  for (size_t i = 0; i < count; ++i) tags[i] = LoadBig(blocks + i * kAesBlock) >> (64 - kKeyIdTagBits);
}

void KeyIdCipher::MasksOf(const uint64_t* tags, size_t count, Bits128* masks) {
  uint8_t blocks[kBatch * kAesBlock];
  for (size_t i = 0; i < count; ++i) {
    uint8_t* const block = blocks + i * kAesBlock;
    std::memcpy(block, kMaskDomain, kDomainBytes);
    block[kDomainBytes] = 0;
    StoreBig(tags[i], block + kDomainBytes + 1);
  }
  Encrypt(mask_cipher_.get(), blocks, count);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* const block = blocks + i * kAesBlock;
    masks[i] = (static_cast<Bits128>(LoadBig(block)) << 64 | LoadBig(block + 8)) >> (128 - kKeyIdFieldBits);
  }
}

void KeyIdCipher::Make(const KeyIdFields* fields, size_t count, uint8_t* uuids) {
  Bits128 packed[kBatch];
  Bits128 masks[kBatch];
  uint64_t tags[kBatch];
  Require(count >= 1 && count <= kBatch, "1 to 128 names are made together");
  for (size_t i = 0; i < count; ++i) packed[i] = PackFields(fields[i]);
  TagsOf(packed, count, tags);
  MasksOf(tags, count, masks);
  for (size_t i = 0; i < count; ++i) ComposeUuid(tags[i], packed[i] ^ masks[i], uuids + i * kUuidBytes);
}

void KeyIdCipher::Open(const uint64_t* tags, const Bits128* masked, size_t count, KeyIdFields* fields, uint32_t* good) {
  Bits128 packed[kBatch];
  uint64_t expected[kBatch];
  MasksOf(tags, count, packed);
  for (size_t i = 0; i < count; ++i) packed[i] ^= masked[i];
  TagsOf(packed, count, expected);
  for (size_t i = 0; i < count; ++i) {
    fields[i] = UnpackFields(packed[i]);
    const uint64_t difference = expected[i] ^ tags[i];  // 51 bits: subtracting one borrows only from zero
    good[i] = static_cast<uint32_t>(-static_cast<int64_t>((difference - 1) >> 63));
  }
}

}  // namespace qkme::vault
