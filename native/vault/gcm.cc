#include "vault/gcm.h"

#include <openssl/crypto.h>

#include "vault/error.h"

namespace qkme::vault {
namespace {

CipherContext NewContext() {
  CipherContext context(EVP_CIPHER_CTX_new());
  if (!context) throw VaultError("INTERNAL", "OpenSSL gave no cipher context: out of memory");
  return context;
}

}  // namespace

GcmEncryptor::GcmEncryptor(const uint8_t* key) : context_(NewContext()) {
  if (EVP_EncryptInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, key, nullptr) != 1) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256-GCM");
  }
}

bool GcmEncryptor::Seal(const uint8_t* iv, const uint8_t* aad, size_t aad_length, const uint8_t* in,
                        size_t length, uint8_t* out, uint8_t* tag) {
  EVP_CIPHER_CTX* const c = context_.get();
  int written = 0;
  return EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, iv) == 1 &&
         EVP_EncryptUpdate(c, nullptr, &written, aad, static_cast<int>(aad_length)) == 1 &&
         EVP_EncryptUpdate(c, out, &written, in, static_cast<int>(length)) == 1 &&
         EVP_EncryptFinal_ex(c, out + written, &written) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kGcmTagBytes, tag) == 1;
}

GcmDecryptor::GcmDecryptor(const uint8_t* key) : context_(NewContext()) {
  if (EVP_DecryptInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, key, nullptr) != 1) {
    throw VaultError("INTERNAL", "OpenSSL refused AES-256-GCM");
  }
}

bool GcmDecryptor::Open(const uint8_t* iv, const uint8_t* aad, size_t aad_length, const uint8_t* in,
                        size_t length, const uint8_t* tag, uint8_t* out) {
  EVP_CIPHER_CTX* const c = context_.get();
  int written = 0;
  int rest = 0;
  const bool good =
      EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, iv) == 1 &&
      EVP_DecryptUpdate(c, nullptr, &written, aad, static_cast<int>(aad_length)) == 1 &&
      EVP_DecryptUpdate(c, out, &written, in, static_cast<int>(length)) == 1 &&
      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kGcmTagBytes, const_cast<uint8_t*>(tag)) == 1 &&
      EVP_DecryptFinal_ex(c, out + written, &rest) == 1;
  // GCM decrypts before it knows the tag: unverified plaintext must not stay.
  if (!good) OPENSSL_cleanse(out, length);
  return good;
}

}  // namespace qkme::vault
