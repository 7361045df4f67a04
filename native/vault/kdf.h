// Keyed hashes and key derivation, over OpenSSL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qkme::vault {

inline constexpr size_t kMacBytes = 32;

/// HMAC-SHA-256 (RFC 2104). @throws VaultError INTERNAL.
void HmacSha256(const uint8_t* key, size_t key_length, const uint8_t* data, size_t length, uint8_t* out);

/// HKDF-SHA-256 (RFC 5869), `out_length` up to kMacBytes: extract with `salt` (empty: zeros), expand with `info` (up to
/// 255 bytes). @throws VaultError INTERNAL; InvariantError on a longer info.
void HkdfSha256(const uint8_t* secret, size_t secret_length, const uint8_t* salt, size_t salt_length,
                std::string_view info, uint8_t* out, size_t out_length);

/// scrypt (RFC 7914), N = 2^log_n, 32 bytes out. @throws VaultError CONFIG_INVALID if the parameters are out of
/// range (log_n 10 to 22, r 1 to 32, p 1 to 16) or need more than 4 GiB; INTERNAL if there is no memory.
void Scrypt(const uint8_t* passphrase, size_t length, const uint8_t* salt, size_t salt_length, uint32_t log_n,
            uint32_t r, uint32_t p, uint8_t* out);

}  // namespace qkme::vault
