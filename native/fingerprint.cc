#include "fingerprint.h"

#include <string.h>

namespace qkme {
namespace {

__extension__ typedef unsigned __int128 Wide;

inline uint64_t Word(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

SipHash Subkey(const SipHash& a, const SipHash& b, uint64_t label) {
  uint8_t key[16];
  const uint64_t words[2] = {label, label + 1};
  const uint64_t left = a(&words[0], 8), right = b(&words[1], 8);
  std::memcpy(key, &left, 8);
  std::memcpy(key + 8, &right, 8);
  SipHash made(key);
  explicit_bzero(key, sizeof key);
  return made;
}

}  // namespace

Fingerprinter::Fingerprinter(const uint8_t* key) {
  const SipHash a(key), b(key + 16);
  // Labels apart by more than any counter reaches: no two uses share an input.
  finish_ = Subkey(a, b, uint64_t{1} << 40);
  name_ = Subkey(a, b, uint64_t{2} << 40);
  const SipHash expand = Subkey(a, b, uint64_t{3} << 40);
  for (uint64_t i = 0; i < kWords; ++i) nh_key_[i] = expand(&i, sizeof i);
}

Fingerprinter::~Fingerprinter() { explicit_bzero(static_cast<void*>(this), sizeof *this); }

uint64_t Fingerprinter::Payload(const uint8_t* payload, size_t length) const {
  const auto product = [&](size_t i, uint64_t m0, uint64_t m1) { return Wide{m0 + nh_key_[i / 8]} * (m1 + nh_key_[i / 8 + 1]); };
  // Two sums, because each addition waits for the carry of the one before.
  Wide sum = 0, other = 0;
  size_t i = 0;
  for (; i + 32 <= length; i += 32) {
    sum += product(i, Word(payload + i), Word(payload + i + 8));
    other += product(i + 16, Word(payload + i + 16), Word(payload + i + 24));
  }
  sum += other;
  if (i + 16 <= length) {
    sum += product(i, Word(payload + i), Word(payload + i + 8));
    i += 16;
  }
  if (i < length) {
    uint64_t m[2] = {0, 0};
    std::memcpy(m, payload + i, length - i);
    sum += product(i, m[0], m[1]);
  }
  const uint64_t digest[3] = {uint64_t(sum), uint64_t(sum >> 64), length};
  return finish_(digest, sizeof digest);
}

uint64_t Fingerprinter::Name(uint32_t link, const uint8_t* block_id, uint32_t offset) const {
  uint8_t name[24];
  std::memcpy(name, &link, 4);
  std::memcpy(name + 4, block_id, 16);
  std::memcpy(name + 20, &offset, 4);
  return name_(name, sizeof name);
}

}  // namespace qkme
