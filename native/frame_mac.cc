#include "frame_mac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdexcept>

namespace qkme {

FrameMac::FrameMac(const uint8_t* key) : context_(EVP_CIPHER_CTX_new()) {
  if (context_ == nullptr || EVP_EncryptInit_ex(context_, EVP_aes_256_gcm(), nullptr, key, nullptr) != 1) {
    EVP_CIPHER_CTX_free(context_);
    throw std::runtime_error("OpenSSL refused AES-256-GCM for the frame MAC");
  }
}

FrameMac::~FrameMac() { EVP_CIPHER_CTX_free(context_); }

bool FrameMac::Compute(const FrameHeader& header, const uint8_t* payload, uint8_t* mac) {
  uint8_t nonce[12];
  std::memcpy(nonce, &header.epoch, 4);
  std::memcpy(nonce + 4, &header.sequence, 8);
  int ignored = 0;
  return EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, nonce) == 1 &&
         EVP_EncryptUpdate(context_, nullptr, &ignored, reinterpret_cast<const uint8_t*>(&header), sizeof header) == 1 &&
         EVP_EncryptUpdate(context_, nullptr, &ignored, payload, int(header.payload_bytes)) == 1 &&
         EVP_EncryptFinal_ex(context_, nonce, &ignored) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_GCM_GET_TAG, kMacBytes, mac) == 1;
}

bool FrameMac::Verify(const FrameHeader& header, const uint8_t* payload, const uint8_t* mac) {
  uint8_t expected[kMacBytes];
  return Compute(header, payload, expected) && CRYPTO_memcmp(expected, mac, kMacBytes) == 0;
}

}  // namespace qkme
