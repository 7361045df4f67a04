#include "crc32c.h"

#include <random>

#include "check.h"

using namespace qkme;

TEST("the vectors of RFC 3720 B.4") {
  uint8_t bytes[32] = {};
  CHECK(Crc32c(bytes, 32) == 0x8A9136AA);
  std::memset(bytes, 0xFF, 32);
  CHECK(Crc32c(bytes, 32) == 0x62A8AB43);
  for (int i = 0; i < 32; ++i) bytes[i] = uint8_t(i);
  CHECK(Crc32c(bytes, 32) == 0x46DD794E);
  CHECK(Crc32c("123456789", 9) == 0xE3069283);
  CHECK(~Crc32cUpdatePortable(~0u, "123456789", 9) == 0xE3069283);
}

TEST("instruction and tables agree for every length and alignment") {
  std::mt19937_64 chance(1);
  std::vector<uint8_t> bytes(10'000);
  for (uint8_t& b : bytes) b = uint8_t(chance());
  for (size_t length = 0; length < 7'000; length = length < 600 ? length + 1 : length + 37) {
    const size_t at = length % 9;
    const uint32_t raw = uint32_t(chance());
    CHECK(Crc32cUpdate(raw, &bytes[at], length) == Crc32cUpdatePortable(raw, &bytes[at], length));
  }
}

TEST("a sum can be continued anywhere") {
  std::vector<uint8_t> bytes(4'000, 0x5A);
  const uint32_t whole = Crc32c(bytes.data(), bytes.size());
  for (size_t cut = 0; cut <= bytes.size(); cut += 61) {
    CHECK(whole == ~Crc32cUpdate(Crc32cUpdate(~0u, bytes.data(), cut), &bytes[cut], bytes.size() - cut));
  }
}

TEST_MAIN()
