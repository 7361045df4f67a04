// Base64 (RFC 4648, section 4) and hexadecimal. No table is indexed with secret bits and no branch looks
// at them: a cache must not remember keys.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme::vault {

constexpr size_t Base64Bytes(size_t bytes) { return (bytes + 2) / 3 * 4; }

/// Writes Base64Bytes(length) characters, padded, and returns their number.
size_t Base64Encode(const uint8_t* in, size_t length, char* out);
/// The portable part of it.
size_t Base64EncodePortable(const uint8_t* in, size_t length, char* out);

}  // namespace qkme::vault
