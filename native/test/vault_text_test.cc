// Base64, UUIDs and the JSON container.
#include <algorithm>
#include <random>

#include "check.h"
#include "vault/base64.h"
#include "vault/container.h"
#include "vault/key_id.h"

using namespace qkme::vault;

namespace {

std::string SlowBase64(const std::vector<uint8_t>& bytes) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < n ? bytes[i + j] : 0);
    for (size_t j = 0; j < 4; ++j) text += j <= n ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

}  // namespace

TEST("Base64 gives the right characters for every length and every value, and writes not one more") {
  std::mt19937 random(5);
  for (size_t length = 0; length <= 300; ++length) {
    std::vector<uint8_t> bytes(length);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const std::string expected = SlowBase64(bytes);
    CHECK(expected.size() == Base64Bytes(length));
    std::vector<char> out(expected.size());  // exactly: the sanitizer sees a byte too many
    CHECK(Base64Encode(bytes.data(), length, out.data()) == expected.size());
    CHECK(std::string(out.begin(), out.end()) == expected);
    std::fill(out.begin(), out.end(), '!');
    CHECK(Base64EncodePortable(bytes.data(), length, out.data()) == expected.size());
    CHECK(std::string(out.begin(), out.end()) == expected);
  }
  std::vector<uint8_t> all;  // each of the 64 digits in each of the four places
  for (uint32_t v = 0; v < 64; ++v) {
    for (int shift = 0; shift < 24; shift += 6) {
      for (int byte = 2; byte >= 0; --byte) all.push_back(static_cast<uint8_t>(v << shift >> 8 * byte));
    }
  }
  std::string out(Base64Bytes(all.size()), ' ');
  Base64Encode(all.data(), all.size(), out.data());
  CHECK(out == SlowBase64(all));
}

TEST("fields survive packing, UUID and text; version and variant are right") {
  std::mt19937_64 random(9);
  for (int n = 0; n < 5000; ++n) {
    const KeyIdFields f = {static_cast<uint32_t>(random()), static_cast<uint32_t>(random() % kPlacesMax),
                           static_cast<uint32_t>(1 + random() % kKeyBytesMax), static_cast<uint32_t>(random() % kAssociationsMax)};
    const KeyIdFields g = UnpackFields(PackFields(f));
    CHECK(f.block == g.block && f.place == g.place && f.length == g.length && f.association == g.association);
    const uint64_t tag = random() >> (64 - kKeyIdTagBits);
    const Bits128 masked = PackFields(f);
    uint8_t uuid[kUuidBytes], back[kUuidBytes];
    char text[kUuidChars];
    ComposeUuid(tag, masked, uuid);
    CHECK(uuid[6] >> 4 == 4 && uuid[8] >> 6 == 2);
    FormatUuid(uuid, text);
    CHECK(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' && text[14] == '4');
    for (char& c : text) {
      if (random() % 2 == 0 && c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
    }
    CHECK(ParseUuid(text, back) && std::memcmp(uuid, back, kUuidBytes) == 0);
    uint64_t tag2 = 0;
    Bits128 masked2 = 0;
    CHECK(DecomposeUuid(back, &tag2, &masked2) && tag2 == tag && masked2 == masked);
    back[6] ^= 0x10;
    CHECK(!DecomposeUuid(back, &tag2, &masked2));
  }
  const KeyIdFields extreme = {0xFFFFFFFFu, kPlacesMax - 1, kKeyBytesMax, kAssociationsMax - 1};
  CHECK(PackFields(extreme) == ((static_cast<Bits128>(1) << kKeyIdFieldBits) - 1));
}

TEST("every malformed character of a UUID is refused") {
  const std::string good = "01234567-89ab-4cde-9f01-23456789abCD";
  uint8_t uuid[kUuidBytes];
  CHECK(ParseUuid(good.data(), uuid) && uuid[0] == 0x01 && uuid[15] == 0xCD);
  for (size_t i = 0; i < kUuidChars; ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string bad = good;
      bad[i] = static_cast<char>(c);
      const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
      const bool expected = hyphen ? c == '-' : std::isxdigit(c) != 0 && c < 128;
      CHECK(ParseUuid(bad.data(), uuid) == expected);
      if (!expected) CHECK(std::all_of(uuid, uuid + kUuidBytes, [](uint8_t b) { return b == 0; }));
    }
  }
}

TEST("the container has exactly the length that was told") {
  const std::string id(kUuidChars, 'x');
  const std::vector<uint8_t> key(32, 0xFF);
  for (const auto& [key_members, container_members] : {std::pair{"", ""}, {",\"a\":1", ""}, {"", ",\"b\":{}"}, {",\"a\":1", ",\"b\":{}"}}) {
    const Members members = {key_members, container_members};
    for (size_t count = 1; count <= 5; ++count) {
      std::vector<char> out(ContainerWriter::Bytes(count, count * Base64Bytes(key.size()), members));
      ContainerWriter writer(out.data(), members);
      std::string expected = "{\"keys\":[";
      for (size_t i = 0; i < count; ++i) {
        writer.Add(id.data(), key.data(), key.size());
        expected += std::string(i > 0 ? "," : "") + "{\"key_ID\":\"" + id + "\",\"key\":\"" + SlowBase64(key) + "\"" + key_members + "}";
      }
      expected += std::string("]") + container_members + "}";
      CHECK(writer.Finish() == out.size());
      CHECK(std::string(out.begin(), out.end()) == expected);
    }
  }
}

TEST_MAIN()
