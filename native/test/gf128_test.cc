// P in all its implementations against a definition bit by bit.
#include "gf128.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

void Check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "gf128_test: %s\n", what);
  std::exit(1);
}

bool Bit(const uint8_t* x, int i) { return x[i / 8] >> (i % 8) & 1; }

// x = a * b in GF(2^128), by shifting and adding.
void MultiplySlow(const uint8_t* a, const uint8_t* b, uint8_t* out) {
  uint8_t power[16];
  uint8_t result[16] = {};
  std::memcpy(power, b, 16);
  for (int i = 0; i < 128; ++i) {
    if (Bit(a, i)) {
      for (int j = 0; j < 16; ++j) result[j] ^= power[j];
    }
    const bool carry = Bit(power, 127);
    for (int j = 15; j > 0; --j) power[j] = static_cast<uint8_t>(power[j] << 1 | power[j - 1] >> 7);
    power[0] = static_cast<uint8_t>(power[0] << 1);
    if (carry) power[0] ^= 0x87;
  }
  std::memcpy(out, result, 16);
}

Bytes HashSlow(const Bytes& key, const Bytes& message) {
  Bytes padded = message;
  padded.resize((message.size() + 15) / 16 * 16, 0);
  const uint64_t bits = message.size() * 8;
  for (int i = 0; i < 16; ++i) padded.push_back(i < 8 ? static_cast<uint8_t>(bits >> 8 * i) : 0);
  Bytes sum(16, 0);
  for (size_t at = 0; at < padded.size(); at += 16) {
    for (int i = 0; i < 16; ++i) sum[i] ^= padded[at + i];
    uint8_t product[16];
    MultiplySlow(sum.data(), key.data(), product);
    std::memcpy(sum.data(), product, 16);
  }
  return sum;
}

Bytes RandomBytes(std::mt19937_64& random, size_t length) {
  Bytes bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

Bytes Hash(qkme::GfImpl impl, const Bytes& key, const Bytes& message, const std::vector<size_t>& cuts) {
  qkme::PolyHash hash(key.data(), impl);
  size_t at = 0;
  for (const size_t cut : cuts) {
    if (cut <= at || cut > message.size()) continue;
    hash.Update(message.data() + at, cut - at);
    at = cut;
  }
  if (at < message.size()) hash.Update(message.data() + at, message.size() - at);
  Bytes out(16);
  hash.Final(out.data());
  return out;
}

void CheckAll(std::mt19937_64& random, const Bytes& key, const Bytes& message) {
  const Bytes expected = HashSlow(key, message);
  for (int i = 0; i < qkme::kGfImpls; ++i) {
    const auto impl = static_cast<qkme::GfImpl>(i);
    if (!qkme::GfSupported(impl)) continue;
    Check(Hash(impl, key, message, {}) == expected, qkme::GfName(impl));
    if (message.empty()) continue;
    std::vector<size_t> cuts;
    for (size_t at = random() % 64; at < message.size(); at += 1 + random() % (message.size() / 2 + 1)) cuts.push_back(at);
    Check(Hash(impl, key, message, cuts) == expected, "pieces differ from the whole");
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(20240607);
  for (size_t length = 0; length <= 80; ++length) CheckAll(random, RandomBytes(random, 16), RandomBytes(random, length));
  for (const size_t length : {255u, 256u, 257u, 511u, 767u, 768u, 769u, 1024u, 3968u, 4096u, 8191u, 8192u, 9217u, 20001u}) {
    CheckAll(random, RandomBytes(random, 16), RandomBytes(random, length));
  }
  // Extremes: every carry and every reduction.
  for (const uint8_t fill : {0x00, 0x01, 0x80, 0xFF}) {
    for (const uint8_t keyFill : {0x00, 0x01, 0x80, 0xFF}) CheckAll(random, Bytes(16, keyFill), Bytes(1600, fill));
  }
  Bytes top(16, 0);
  top[15] = 0x80;
  CheckAll(random, top, Bytes(1024, 0xFF));
  // M and M || 00 differ.
  const Bytes key = RandomBytes(random, 16);
  Bytes message = RandomBytes(random, 30);
  const Bytes tag = Hash(qkme::GfBest(), key, message, {});
  message.push_back(0);
  Check(Hash(qkme::GfBest(), key, message, {}) != tag, "a trailing zero byte does not change the hash");
  std::printf("gf128_test: ok (%s)\n", qkme::GfName(qkme::GfBest()));
}
