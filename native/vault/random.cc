#include "vault/random.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstring>

#include "vault/error.h"
#include "vault/locked_memory.h"

namespace qkme::vault {

RandomSource::RandomSource(const uint8_t* seed, size_t length) : stream_(EVP_CIPHER_CTX_new()) {
  uint8_t key[SHA256_DIGEST_LENGTH];
  const uint8_t iv[16] = {};
  const bool good = stream_ && SHA256(seed, length, key) != nullptr &&
                    EVP_EncryptInit_ex(stream_.get(), EVP_aes_256_ctr(), nullptr, key, iv) == 1;
  Wipe(key, sizeof key);
  if (!good) throw VaultError("INTERNAL", "OpenSSL refused AES-256-CTR");
}

void RandomSource::Fill(uint8_t* out, size_t length) {
  bool good = false;
  if (stream_) {
    std::memset(out, 0, length);
    int written = 0;
    good = EVP_EncryptUpdate(stream_.get(), out, &written, out, static_cast<int>(length)) == 1;
  } else {
    good = RAND_priv_bytes(out, static_cast<int>(length)) == 1;
  }
  if (!good) {
    Wipe(out, length);
    throw VaultError("RANDOM_FAILED", "the random source failed: no key can be made; check the system's entropy source and restart");
  }
}

}  // namespace qkme::vault
