#include "frame_source.h"

#include <openssl/rand.h>
#include <string.h>

#include <stdexcept>

namespace qkme {

FrameSource::FrameSource(const uint8_t* seed) : context_(EVP_CIPHER_CTX_new()) {
  uint8_t key[kSeedBytes];
  const bool seeded = seed != nullptr ? (memcpy(key, seed, sizeof key), true) : RAND_priv_bytes(key, sizeof key) == 1;
  const bool good = seeded && context_ != nullptr && EVP_EncryptInit_ex(context_, EVP_aes_256_ctr(), nullptr, key, nullptr) == 1;
  explicit_bzero(key, sizeof key);
  if (good) return;
  EVP_CIPHER_CTX_free(context_);
  throw std::runtime_error("the generator of a software device cannot start: OpenSSL gives no random bytes or no AES-256-CTR");
}

FrameSource::~FrameSource() {
  for (auto& [block, bytes] : given_) explicit_bzero(bytes.data(), bytes.size());
  EVP_CIPHER_CTX_free(context_);
}

void FrameSource::Put(uint64_t block, std::span<const uint8_t> bytes) {
  std::vector<uint8_t>& at = given_[block];
  explicit_bzero(at.data(), at.size());
  at.assign(bytes.begin(), bytes.end());
}

void FrameSource::DropBelow(uint64_t block) {
  for (auto at = given_.begin(); at != given_.end() && at->first < block; at = given_.erase(at)) explicit_bzero(at->second.data(), at->second.size());
}

bool FrameSource::Fill(uint64_t block, uint32_t domain, uint64_t at, uint8_t* out, size_t length) {
  if (const auto given = given_.find(block); given != given_.end() && domain == 0) {
    const std::vector<uint8_t>& bytes = given->second;
    if (at > bytes.size() || length > bytes.size() - at) return false;
    memcpy(out, bytes.data() + at, length);
    return true;
  }
  // Counter in units of 16 bytes in the last four bytes, big endian: 64 GiB per block.
  uint8_t iv[16];
  memcpy(iv, &domain, 4);
  memcpy(iv + 4, &block, 8);
  const uint64_t unit = at / 16;
  if (at % 16 != 0 || unit > UINT32_MAX) return false;
  for (int i = 0; i < 4; ++i) iv[12 + i] = uint8_t(unit >> (24 - 8 * i));
  memset(out, 0, length);
  int written = 0;
  return EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, iv) == 1 &&
         EVP_EncryptUpdate(context_, out, &written, out, int(length)) == 1;
}

}  // namespace qkme
