// Master keys and passphrases in files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace qkme::vault {

/// Creates `path`, mode 0600, with `length` bytes; the file and its folder are flushed. Never overwrites.
/// @throws VaultError MASTER_KEY_WRONG (it exists), STORE_FULL, STORE_UNAVAILABLE.
void CreateSecretFile(const std::string& path, const uint8_t* bytes, size_t length);

/// Reads a regular file of at most `capacity` bytes that nobody but its owner (this user or root) may touch, straight
/// into `out`. Returns its length. Symbolic links are not followed.
/// @throws VaultError MASTER_KEY_MISSING (cannot be opened or read), MASTER_KEY_WRONG (kind, owner, mode, size).
size_t ReadSecretFile(const std::string& path, uint8_t* out, size_t capacity);

}  // namespace qkme::vault
