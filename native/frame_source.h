// Payloads for software devices: the bytes of any frame of any key block, from a 32-byte seed (AES-256-CTR; IV =
// domain and block number, so every frame can be made again, at both ends and after a restart), or bytes that were
// put in for a block, as a simulated link makes them.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace qkme {

class FrameSource {
 public:
  static constexpr size_t kSeedBytes = 32;

  /// `seed` null: a fresh one from the system's random source. @throws std::runtime_error.
  explicit FrameSource(const uint8_t* seed);
  ~FrameSource();
  FrameSource(const FrameSource&) = delete;
  FrameSource& operator=(const FrameSource&) = delete;

  /// The bytes of a key block, instead of generated ones; copied, and wiped when they are dropped.
  void Put(uint64_t block, std::span<const uint8_t> bytes);
  /// Forgets what was put in for blocks below.
  void DropBelow(uint64_t block);

  /// Bytes [at, at + length) of a key block; `at` is a multiple of 16. Other domains are other bytes.
  bool Fill(uint64_t block, uint32_t domain, uint64_t at, uint8_t* out, size_t length);

 private:
  EVP_CIPHER_CTX* context_;
  std::map<uint64_t, std::vector<uint8_t>> given_;
};

}  // namespace qkme
