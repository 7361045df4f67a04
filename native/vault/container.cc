#include "vault/container.h"

#include <cstring>

namespace qkme::vault {
namespace {

constexpr std::string_view kBegin = "{\"keys\":[";
constexpr std::string_view kKeyId = "{\"key_ID\":\"";
constexpr std::string_view kKey = "\",\"key\":\"";
constexpr std::string_view kQuote = "\"";
constexpr std::string_view kEndKey = "}";
constexpr std::string_view kEndKeys = "]";
constexpr std::string_view kEnd = "}";

inline char* Put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

}  // namespace

size_t ContainerWriter::Bytes(size_t count, size_t base64_bytes, const Members& members) {
  const size_t each = kKeyId.size() + kUuidChars + kKey.size() + kQuote.size() + members.key.size() + kEndKey.size();
  const size_t commas = count > 0 ? count - 1 : 0;
  return kBegin.size() + count * each + base64_bytes + commas + kEndKeys.size() + members.container.size() + kEnd.size();
}

ContainerWriter::ContainerWriter(char* out, const Members& members)
    : begin_(out), at_(Put(out, kBegin)), members_(members) {}

void ContainerWriter::Add(const char* id_text, const uint8_t* key, size_t key_bytes) {
  if (!first_) *at_++ = ',';
  first_ = false;
  at_ = Put(at_, kKeyId);
  at_ = Put(at_, std::string_view(id_text, kUuidChars));
  at_ = Put(at_, kKey);
  at_ += Base64Encode(key, key_bytes, at_);
  at_ = Put(at_, kQuote);
  at_ = Put(at_, members_.key);
  at_ = Put(at_, kEndKey);
}

size_t ContainerWriter::Finish() {
  at_ = Put(at_, kEndKeys);
  at_ = Put(at_, members_.container);
  at_ = Put(at_, kEnd);
  return static_cast<size_t>(at_ - begin_);
}

}  // namespace qkme::vault
