// The JSON key container (ETSI GS QKD 014 V1.1.1, clause 6.3), written straight into the answer's buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vault/base64.h"
#include "vault/key_id.h"

namespace qkme::vault {

/// Ready JSON that goes into the container, each part with its leading comma, or empty.
struct Members {
  std::string_view key;        ///< behind "key" in each key's object
  std::string_view container;  ///< behind the array of keys
};

/// {"keys":[{"key_ID":"…","key":"…"<key members>},…]<container members>}
class ContainerWriter {
 public:
  /// Exact length of a container of `count` keys whose Base64 texts have `base64_bytes` together.
  static size_t Bytes(size_t count, size_t base64_bytes, const Members& members);

  /// `out` has room for what Bytes() tells.
  ContainerWriter(char* out, const Members& members);
  /// `id_text`: kUuidChars characters, lower case.
  void Add(const char* id_text, const uint8_t* key, size_t key_bytes);
  /// Returns the length of the whole.
  size_t Finish();

 private:
  char* begin_;
  char* at_;
  Members members_;
  bool first_ = true;
};

}  // namespace qkme::vault
